// Lines by day (uPlot). A chart is drawn when it comes near the screen, and again when width or colours change.
(function (H) {
  const HEIGHT = 190;
  const drawn = new Map();

  function colours(probe) {
    const style = getComputedStyle(probe);
    const of = (name) => style.getPropertyValue("--" + name).trim();
    return { ink: of("quiet"), rule: of("rule"), band: of("band"), lines: [0, 1, 2, 3, 4, 5, 6].map((i) => of("line-" + i)) };
  }

  const dayAt = (i) => (H.data.days[i] == null ? "" : H.data.days[i]);

  function options(box, ink, more) {
    const grid = { stroke: ink.rule, width: 1 };
    const axis = { stroke: ink.ink, grid, ticks: grid };
    const x = { ...axis, incrs: [1, 2, 3, 5, 7, 14, 28, 91, 182, 364], space: 48, values: (_, at) => at.map((i) => dayAt(i).slice(5)) };
    return {
      width: Math.max(220, box.clientWidth),
      height: HEIGHT,
      scales: { x: { time: false, range: [-0.4, H.data.days.length - 0.6] }, y: more.scale },
      axes: [x, { ...axis, ...more.axis }],
      series: [{ label: "day", value: (_, i) => (i == null ? "" : dayAt(i)) }, ...more.series],
      bands: more.bands,
      hooks: { ready: [(chart) => chart.setLegend({ idx: H.data.days.length - 1 })] },
      cursor: { drag: { setScale: false, x: false, y: false } },
    };
  }

  function plot(box, probe, more, values) {
    box.textContent = "";
    return new uPlot(options(box, colours(probe), more), [H.data.days.map((_, i) => i), ...values], box);
  }

  function bounds(series) {
    const known = series.flatMap((one) => one.values).filter((value) => value != null);
    const low = Math.min(...known);
    const high = Math.max(...known);
    const room = Math.max((high - low) * 0.15, 0.005);
    return [Math.max(0, low - room), Math.min(1, high + room)];
  }

  const isKnown = (series) => series.some((one) => one.values.some((value) => value != null));

  // Shares by day, one line each; a day without is a gap.
  function lines(box, probe, series) {
    const ink = colours(probe);
    const more = {
      scale: { range: bounds(series) },
      axis: { size: 58, values: (_, at) => at.map((share) => +(share * 100).toFixed(2) + "%") },
      series: series.map((one, i) => ({
        label: one.name,
        stroke: ink.lines[i % ink.lines.length],
        dash: i < ink.lines.length ? undefined : [6, 4],
        width: 2,
        points: { show: H.data.days.length < 40, size: 6 },
        value: (_, share, __, at) => (at == null ? "" : H.percent(share, 2)),
      })),
    };
    return plot(box, probe, more, series.map((one) => one.values));
  }

  // Values that span several sizes are drawn on a scale of sizes.
  function spread(quantiles) {
    const known = quantiles.flat().filter((value) => value != null);
    const low = Math.min(...known);
    const high = Math.max(...known);
    const middle = Math.abs(quantiles[3].find((value) => value != null) || 0);
    if (low > 0 && high / low > 50) return { distr: 3 };
    return Math.max(high, -low) > 30 * (middle + 1) ? { distr: 4 } : {};
  }

  function powers(_, __, low, high) {
    const first = Math.floor(Math.log10(low));
    const count = Math.ceil(Math.log10(high)) - first + 1;
    const every = Math.ceil(count / 6);
    return Array.from({ length: count }, (_, i) => Math.pow(10, first + i)).filter((_, i) => i % every === 0);
  }

  // Seven quantiles by day: three bands around the median.
  function band(box, probe, quantiles) {
    const ink = colours(probe);
    const scale = spread(quantiles);
    const names = ["1 %", "5 %", "25 %", "median", "75 %", "95 %", "99 %"];
    const more = {
      scale,
      axis: { size: 64, ...(scale.distr === 3 && { splits: powers }) },
      series: names.map((label, i) => ({
        label,
        stroke: ink.lines[0],
        width: i === 3 ? 2.5 : 0.6,
        points: { show: H.data.days.length < 14 && i === 3, size: 6 },
        value: (_, value, __, at) => (at == null ? "" : H.number(value)),
      })),
      bands: [[7, 1], [6, 2], [5, 3]].map((series) => ({ series, fill: ink.band })),
    };
    return plot(box, probe, more, quantiles);
  }

  function draw(box, probe) {
    const old = drawn.get(box);
    if (old && old.destroy) old.destroy();
    drawn.set(box, box.draw(probe) || { destroy: null });
  }

  const screen = () => document.documentElement;
  const near = new IntersectionObserver((seen) => {
    for (const { target, isIntersecting } of seen) {
      if (isIntersecting && !drawn.has(target)) draw(target, screen());
    }
  }, { rootMargin: "300px" });

  // Puts a chart under care: `box.draw(probe)` draws it with the colours that hold at `probe`.
  H.chart = (box, how) => {
    box.draw = how;
    near.observe(box);
    return box;
  };

  H.lineChart = (box, series) => (isKnown(series) ? H.chart(box, (probe) => lines(box, probe, series)) : box);
  H.bandChart = (box, quantiles) => H.chart(box, (probe) => band(box, probe, quantiles));

  function redraw(probe) {
    for (const box of Array.from(drawn.keys())) {
      if (!box.isConnected) {
        near.unobserve(box);
        drawn.delete(box);
      } else if (box.clientWidth) draw(box, probe);
    }
  }

  H.redraw = () => redraw(screen());
  window.addEventListener("resize", H.debounced(H.redraw, 150));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", H.redraw);
  window.addEventListener("beforeprint", () => {
    for (const box of document.querySelectorAll(".chart")) if (box.draw && !drawn.has(box) && box.clientWidth) draw(box, screen());
    redraw(H.byId("print-colours"));
  });
  window.addEventListener("afterprint", H.redraw);
})(Headrace);
