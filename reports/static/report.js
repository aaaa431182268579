"use strict";
(function () {
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("chart-data").textContent);

  // Filter: the same two inputs narrow every table whose rows name a feature.
  const form = byId("filter");
  const group = byId("filter-group");
  const text = byId("filter-text");
  const rows = Array.from(document.querySelectorAll("tr[data-name]"));
  const total = document.querySelectorAll(".heat tr[data-name]").length;

  function applyFilter() {
    const part = text.value.trim().toLowerCase();
    let left = 0;
    for (const row of rows) {
      const fits = (!group.value || row.dataset.group === group.value) && row.dataset.name.toLowerCase().includes(part);
      row.hidden = !fits;
      if (fits && row.id) left += 1;
    }
    byId("filter-count").textContent = left + " of " + total + " features";
  }

  function showTarget() {
    // A link to a row that the filter hides clears the filter first.
    const row = /^#f\d+$/.test(location.hash) ? byId(location.hash.slice(1)) : null;
    if (row && row.hidden) {
      group.value = "";
      text.value = "";
      applyFilter();
      row.scrollIntoView();
    }
  }

  if (total) {
    form.hidden = false;
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", applyFilter);
    window.addEventListener("hashchange", showTarget);
    applyFilter();
    showTarget();
  }

  // Charts: one slot per day, a missing day is a gap.
  const percent = (share) => (share == null ? "no data" : (Math.floor(share * 10000 + 1e-6) / 100).toFixed(2) + "%");
  const charts = [];

  function colours(probe) {
    const style = getComputedStyle(probe);
    const of = (name) => style.getPropertyValue("--" + name).trim();
    return { ink: of("quiet"), rule: of("rule"), lines: [0, 1, 2, 3, 4, 5, 6].map((i) => of("line-" + i)) };
  }

  function bounds(series) {
    const known = series.flatMap((one) => one.values).filter((value) => value != null);
    const low = Math.min(...known);
    const high = Math.max(...known);
    const room = Math.max((high - low) * 0.15, 0.005);
    return [Math.max(0, low - room), Math.min(1, high + room)];
  }

  function draw(box, probe) {
    const series = data[box.dataset.series];
    if (!series.some((one) => one.values.some((value) => value != null))) return;
    const ink = colours(probe);
    const [low, high] = bounds(series);
    const axis = { stroke: ink.ink, grid: { stroke: ink.rule, width: 1 }, ticks: { stroke: ink.rule, width: 1 } };
    const day = (i) => (data.days[i] == null ? "" : data.days[i]);
    const options = {
      width: Math.max(240, box.clientWidth),
      height: 210,
      scales: { x: { time: false, range: [-0.4, data.days.length - 0.6] }, y: { range: [low, high] } },
      axes: [
        { ...axis, incrs: [1, 2, 3, 5, 7, 14, 28, 91, 182, 364], space: 48, values: (_, at) => at.map((i) => day(i).slice(5)) },
        { ...axis, size: 58, values: (_, at) => at.map((share) => +(share * 100).toFixed(2) + "%") },
      ],
      series: [{ label: "day", value: (_, i) => (i == null ? "" : day(i)) }].concat(
        series.map((one, i) => ({
          label: one.name,
          stroke: ink.lines[i % ink.lines.length],
          dash: i < ink.lines.length ? undefined : [6, 4],
          width: 2,
          points: { show: true, size: 6 },
          value: (_, share, __, i) => (i == null ? "" : percent(share)),
        })),
      ),
      hooks: { ready: [(chart) => chart.setLegend({ idx: data.days.length - 1 })] },
      cursor: { drag: { setScale: false, x: false, y: false } },
    };
    box.textContent = "";
    charts.push(new uPlot(options, [data.days.map((_, i) => i), ...series.map((one) => one.values)], box));
  }

  function drawAll(probe) {
    charts.splice(0).forEach((chart) => chart.destroy());
    document.querySelectorAll(".chart").forEach((box) => draw(box, probe));
  }

  const screen = () => drawAll(document.documentElement);
  let waiting = 0;
  screen();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", screen);
  window.addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(screen, 150);
  });
  window.addEventListener("beforeprint", () => drawAll(byId("print-colours")));
  window.addEventListener("afterprint", screen);
})();
