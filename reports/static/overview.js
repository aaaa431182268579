// The lists of features: filter, sort, the slice they are shown for, and the heat map.
(function (H) {
  const features = H.data.features;
  const form = H.byId("filter");
  const input = Object.fromEntries(["text", "group", "entity", "window", "slice", "state", "sort"].map((name) => [name, H.byId("filter-" + name)]));
  const bodies = ["heat-table", "states-table"].map((id) => H.byId(id)).filter(Boolean).map((table) => table.tBodies[0]);
  const rows = bodies.map((body) => Array.from(body.rows));
  const declared = rows.length ? rows[1].map((row) => Array.from(row.cells).slice(1)) : [];
  const names = features.map((feature) => feature.name.toLowerCase());
  let cut = null; // {figures}: of every feature in the slice value chosen
  let order = features.map((_, i) => i);

  const figures = (i) => (cut ? cut.figures[i] : features[i]);

  function fits(i) {
    const feature = features[i];
    const part = input.text.value.trim().toLowerCase();
    for (const key of ["group", "entity", "window"]) if (input[key].value && input[key].value !== feature[key]) return false;
    if (part && !names[i].includes(part)) return false;
    const state = input.state.value;
    const shares = figures(i).shares;
    if (state === "none") return !shares;
    return state === "" || Boolean(shares && shares[state] >= 0.01);
  }

  // Keys to sort by, the least first; null goes last.
  const KEYS = {
    coverage: (of) => of.coverage,
    lost: (of) => (of.lost ? -of.lost : null),
    day: (of) => of.day,
    median: (of) => of.median,
    psi: (of) => (of.psi == null ? null : -of.psi),
    state: (of) => (of.shares ? -(input.state.value > "" ? of.shares[input.state.value] : of.shares.slice(2).reduce((a, b) => a + b)) : null),
  };

  function sorted() {
    const all = features.map((_, i) => i);
    const by = input.sort.value;
    if (by === "name") return all.sort((a, b) => (features[a].name < features[b].name ? -1 : 1));
    if (!KEYS[by]) return all;
    const keys = all.map((i) => KEYS[by](figures(i)));
    const last = (key) => (key == null ? Infinity : key);
    return all.sort((a, b) => last(keys[a]) - last(keys[b]) || a - b);
  }

  H.apply = () => {
    const left = new Set(features.map((_, i) => i).filter(fits));
    const now = sorted();
    const moved = now.some((i, at) => i !== order[at]);
    order = now;
    bodies.forEach((body, b) => {
      rows[b].forEach((row, i) => {
        if (row.hidden === left.has(i)) row.hidden = !row.hidden;
      });
      if (moved) body.append(...order.map((i) => rows[b][i]));
    });
    H.shown = order.filter((i) => left.has(i));
    H.byId("filter-count").textContent = H.shown.length + " of " + features.length + " features";
  };

  // Figures of a slice value in the table of states.
  function sliceCells(feature) {
    if (!feature.shares) return [H.el("td", { colspan: "11", class: "none" }, "no data")];
    const number = (content) => H.el("td", { class: "n" }, content);
    return [
      number(H.percent(feature.coverage)),
      number(H.change(feature.day)),
      number(feature.interval),
      H.el("td", null, H.stateBar(feature.shares.map((share) => share * 10000))),
      ...feature.shares.map((share) => number(H.percent(share))),
      number(H.number(feature.psi)),
    ];
  }

  function figuresOf(detail, at) {
    return detail.features.map((feature) => {
      const { slices } = H.seriesOf(feature);
      if (!slices) return { shares: null };
      const shares = slices.states.map((values) => H.share(values[at]));
      const change = H.share(slices.change[at]);
      return {
        coverage: H.coverage(slices.states, at),
        shares: shares[0] == null ? null : shares,
        day: change,
        median: change,
        lost: change == null ? 0 : Math.max(0, -change) * detail.slices[at][3],
        interval: H.interval(slices, at),
        psi: slices.psi[at] == null ? null : slices.psi[at] / 1000,
      };
    });
  }

  async function chooseSlice() {
    const at = +input.slice.value;
    const detail = at < 0 ? null : await H.detail();
    if (+input.slice.value !== at) return;
    cut = detail && { figures: figuresOf(detail, at) };
    H.byId("states-of").textContent = detail ? ", " + detail.slices[at][0] + " = " + detail.slices[at][1] : "";
    H.byId("states-table").classList.toggle("cut", Boolean(detail));
    H.byId("states-day").textContent = detail ? "Change" : "Day before";
    H.byId("states-median").textContent = detail ? "95 % interval" : "Median";
    H.apply();
    fill(H.shown.concat(features.map((_, i) => i).filter((i) => rows[1][i].hidden)));
  }

  // Figures into the table of states: what a screen holds at once, the rest as soon as there is time.
  const SCREEN = 40;
  let filling = 0;
  function fill(places) {
    const turn = (filling += 1);
    const some = (from) => {
      if (turn !== filling) return;
      for (const i of places.slice(from, from + SCREEN)) rows[1][i].replaceChildren(rows[1][i].cells[0], ...(cut ? sliceCells(cut.figures[i]) : declared[i]));
      if (from + SCREEN < places.length) requestIdleCallback(() => some(from + SCREEN), { timeout: 200 });
    };
    some(0);
  }

  // The slice values are many: they are put into the list when somebody goes there.
  let listed = null;
  H.listSlices = () => (listed = listed || list());
  async function list() {
    const { slices } = await H.detail();
    const groups = new Map();
    slices.forEach(([slice, value], at) => {
      if (!groups.has(slice)) groups.set(slice, H.el("optgroup", { label: slice }));
      groups.get(slice).append(H.el("option", { value: at }, value));
    });
    input.slice.append(...groups.values());
    setTimeout(async () => (await H.detail()).features.forEach(H.seriesOf)); // while the reader chooses
  }

  H.showSlice = async (slice, value) => {
    await H.listSlices();
    const { slices } = await H.detail();
    input.slice.value = slices.findIndex((one) => one[0] === slice && one[1] === value);
    await chooseSlice();
  };

  // A row of the heat map at one glance: days of one level in a run; where there is no data the hatching behind shows.
  function gradient(cells) {
    const stops = [];
    cells.forEach((cell, d) => {
      const level = (cell.className.match(/h[0-7n]/) || ["h0"])[0];
      const end = ((d + 1) / cells.length) * 100 + "%";
      const run = stops[stops.length - 1];
      if (run && run.level === level) run.end = end;
      else stops.push({ level, start: run ? run.end : "0%", end });
    });
    const colour = (level) => (level === "hn" ? "transparent" : "var(--" + level + ")");
    return "linear-gradient(to right, " + stops.map((run) => colour(run.level) + " " + run.start + " " + run.end).join(", ") + ")";
  }

  // One strip stands for the cells of a row while numbers are not asked for: thousands of boxes less to lay out.
  function strip(row) {
    row.kept = Array.from(row.cells).slice(1);
    const last = row.kept[row.kept.length - 1].textContent;
    const cell = H.el("td", { class: "strip" }, H.el("span", { class: "unseen" }, last === "–" ? "no data on the last day" : last + "% on the last day"));
    cell.style.setProperty("--levels", gradient(row.kept));
    return cell;
  }

  function showNumbers(table, wanted) {
    table.classList.toggle("compact", !wanted);
    for (const row of rows[0]) {
      if (wanted && row.kept) {
        row.replaceChildren(row.cells[0], ...row.kept);
        row.kept = null;
      } else if (!wanted) row.replaceChildren(row.cells[0], strip(row));
    }
  }

  function pointed(event) {
    const cell = event.target.closest("td");
    if (!cell) return null;
    const row = cell.parentNode;
    const place = cell.getBoundingClientRect();
    const day = row.kept ? Math.floor(((event.clientX - place.left) / place.width) * row.kept.length) : cell.cellIndex - 1;
    const kept = row.kept || Array.from(row.cells).slice(1);
    return kept[day] && { feature: features[row.dataset.i], day: H.data.days[day], text: kept[day].textContent };
  }

  function heat() {
    const table = H.byId("heat-table");
    const numbers = H.byId("heat-numbers");
    H.byId("heat-tools").hidden = false;
    numbers.checked = !table.matches(".many");
    numbers.addEventListener("change", () => showNumbers(table, numbers.checked));
    if (!numbers.checked) showNumbers(table, false);
    table.addEventListener("pointermove", (event) => {
      const at = pointed(event);
      if (at) H.byId("heat-reading").replaceChildren(H.name(at.feature.name), " on " + at.day + ": " + (at.text === "–" ? "no data" : at.text + "%"));
    });
    table.addEventListener("click", (event) => {
      const at = pointed(event);
      if (at) location.hash = "feature=" + encodeURIComponent(at.feature.name);
    });
  }

  H.startOverview = () => {
    H.shown = order;
    if (!features.length) return;
    form.hidden = false;
    requestIdleCallback(heat, { timeout: 500 }); // after the first screen
    input.slice.addEventListener("focus", H.listSlices);
    input.slice.addEventListener("pointerenter", H.listSlices);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", (event) => (event.target === input.slice ? chooseSlice() : H.apply()));
    form.addEventListener("reset", () => setTimeout(chooseSlice));
    H.apply();
  };
})(Headrace);
