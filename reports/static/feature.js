// The page of one feature, made from the unpacked data.
(function (H) {
  const page = H.byId("feature");
  const facts = (pairs) => H.el("dl", { class: "facts" }, pairs.filter(([, value]) => value != null && value !== "").map(([name, value]) => H.el("div", null, H.el("dt", null, name), H.el("dd", null, value))));
  const panel = (title, ...content) => H.el("section", { class: "panel" }, H.el("h2", null, title), ...content);
  const chart = (label) => H.el("div", { class: "chart", role: "img", "aria-label": label });
  const nothing = (why) => H.el("p", { class: "none" }, why ? "no data: " + why : "no data");
  const sourceOf = ({ table, kind }) => [H.name(table), kind ? " (" + kind + ")" : ""];

  const hrefOf = (i, cut) => "#feature=" + encodeURIComponent(H.data.features[i].name) + (cut ? "&slice=" + encodeURIComponent(cut.slice) + "&value=" + encodeURIComponent(cut.value) : "");

  function heading(i) {
    const feature = H.data.features[i];
    const list = H.shown.includes(i) ? H.shown : H.data.features.map((_, at) => at);
    const at = list.indexOf(i);
    const step = (to, text) => (list[to] == null ? null : H.el("a", { href: hrefOf(list[to]) }, text, H.name(H.data.features[list[to]].name)));
    return [
      H.el("p", { class: "steps" }, H.el("a", { href: "#back" }, "← All features"), step(at - 1, "Previous: "), step(at + 1, "Next: ")),
      H.el("h1", { id: "feature-title", tabindex: "-1" }, H.name(feature.name)),
    ];
  }

  function figures(feature, now) {
    const change = now.change || [];
    const interval = change[1] == null ? null : [H.change(change[0]), " (" + H.points(change[1]) + " to " + H.points(change[2]) + ")"];
    const number = (value) => (value == null ? null : H.number(value));
    return facts([
      ["Coverage", H.el("strong", null, H.percent(feature.coverage, 2))],
      ["Since the day before", feature.day == null ? null : H.change(feature.day)],
      ["Against the median", feature.median == null ? null : H.change(feature.median)],
      ["Against the reference, 95 %", interval],
      ["Reference", now.reference],
      ["PSI", number(now.psi)],
      ["Jensen-Shannon, bits", number(now.js)],
      ["Rows seen", now.rows == null ? null : H.count(now.rows)],
      ["Effective rows", now.effective_rows == null ? null : H.count(now.effective_rows)],
      ["Impressions, estimate", now.weight == null ? null : H.count(now.weight)],
      ["Mean", number(now.mean)],
      ["Standard deviation", number(now.std)],
      ["Least", number(now.min)],
      ["Greatest", number(now.max)],
      ["Different values", now.distinct == null ? null : H.count(now.distinct)],
      ["Commonest value", now.top_share == null ? null : H.percent(now.top_share)],
      ["Infinite cells", now.rows_infinite ? H.count(now.rows_infinite) : null],
      ["First value", now.first],
    ]);
  }

  function declared({ facts: known }, feature) {
    const texts = ["definition", "source", "entity", "segment", "window", "aggregate", "type", "unit", "default", "tolerance"];
    const pairs = texts.map((key) => [key[0].toUpperCase() + key.slice(1), known[key] == null ? null : H.name(known[key])]);
    if (known.source == null) pairs.unshift(["Group", H.name(feature.group)]);
    const lineage = known.lineage.map(([table, kind]) => H.el("li", null, sourceOf({ table, kind })));
    const filled = known.filled.share == null ? null : H.percent(known.filled.share) + " of the traffic" + (known.filled.rows == null ? "" : ", " + H.count(known.filled.rows) + " rows");
    const suggestion = known.suggestion.value == null ? null : [H.name(known.suggestion.kind || "value"), ": ", H.name(known.suggestion.value), known.suggestion.evidence == null ? "" : " (" + known.suggestion.evidence + ")"];
    pairs.push(["Filled with the default", filled], ["Suggested default", suggestion]);
    return [facts(pairs), lineage.length ? [H.el("h3", null, "Made from"), H.el("ul", { class: "lineage" }, lineage)] : null].flat();
  }

  function blame({ facts: { blame: why } }) {
    if (why.text == null && why.change == null) return [nothing("no loss is known, or its cause is not")];
    const share = (value) => (value == null ? null : H.percent(value));
    return [
      why.text == null ? null : H.el("p", null, H.name(why.text)),
      facts([
        ["Change", why.change == null ? null : typeof why.change === "number" ? H.change(why.change) : H.name(why.change)],
        ["Since", why.since],
        ["Input", why.input == null ? null : H.name(why.input)],
        ["Landing day", why.ds],
        ["Rows", typeof why.rows === "number" ? H.count(why.rows) : why.rows],
        ["Median of its rows", typeof why.median === "number" ? H.count(why.median) : why.median],
        ["Late", share(why.late_share)],
        ["Quarantined", share(why.quarantined_share)],
        ["Profile version", why.profile_version],
      ]),
    ];
  }

  function states({ days, now }) {
    const heads = ["State", ["Share"], ["Rows seen"], ["Impressions, estimate"]];
    const box = H.stackedDays(chart("Stacked bars: share of each state by day; the tables below hold the same numbers"), days.states);
    if (!now.states) return [box, nothing("no row of the last day")];
    const rows = now.states.map(([seen, weight], s) => [
      [H.el("span", { class: "key s-" + H.data.states[s] }), H.data.states[s]],
      H.percent(now.weight ? weight / now.weight : null, 2),
      H.count(seen),
      H.count(weight),
    ]);
    return [box, H.table({ label: "States on " + H.data.ds, heads, rows, csv: "states-of-feature" })];
  }

  function values({ days, bars, top, against }) {
    const parts = [];
    if (days.quantiles) {
      const box = chart("Lines: quantiles of the values by day; the table by day holds the same numbers");
      parts.push(panel("Quantiles by day", H.el("p", { class: "legend" }, "Bands: 1 to 99 %, 5 to 95 %, 25 to 75 %; line: median. Of cells with a value."), H.bandChart(box, days.quantiles)));
    }
    const old = against ? against[0] + " to " + against[1] : null;
    const legend = H.el("p", { class: "legend" }, H.el("span", { class: "key now" }), H.data.ds + " ", old ? [H.el("span", { class: "key reference" }), old] : "no reference days");
    if (bars) {
      const rows = bars.now.map((share, i) => [H.barName(bars, i), H.percent(share, 2), H.percent(bars.reference ? bars.reference[i] : null, 2)]);
      const table = H.table({ label: "Histogram", heads: ["Value", ["Now"], ["Reference"]], rows, csv: "histogram" });
      const spaced = { each: "A bar per value.", log: "Bars of equal ratio, smallest values first.", linear: "Bars of equal width." }[bars.kind];
      parts.push(panel("Values now and before", legend, H.histogram(chart("Histogram of the values now and on the reference days; the table below holds the same numbers"), bars), H.el("p", { class: "legend" }, spaced), H.folded("As a table", table)));
    }
    if (top) {
      const rows = top.map(([text, share, before]) => [H.name(text), H.percent(share, 2), H.percent(before, 2)]);
      parts.push(panel("Commonest values", H.table({ label: "Commonest values", heads: ["Value", ["Now"], [old || "Reference"]], rows, csv: "values", sorts: true })));
    }
    return parts.length ? parts : [panel("Values", nothing("values of this feature were not counted"))];
  }

  function byDay({ days }) {
    const quantiles = days.quantiles ? ["1 %", "5 %", "25 %", "50 %", "75 %", "95 %", "99 %"].map((name) => [name]) : [];
    const heads = ["Day", ["Coverage"], ...H.data.states.map((state) => [state]), ...quantiles, ["PSI"]];
    const rows = H.data.days.map((day, d) => [
      day,
      H.percent(H.coverage(days.states, d), 2),
      ...days.states.map((values) => H.percent(H.share(values[d]), 2)),
      ...(days.quantiles || []).map((values) => H.number(values[d])),
      H.number(days.psi[d] == null ? null : days.psi[d] / 1000),
    ]);
    return H.table({ label: "By day", heads, rows: rows.reverse(), csv: "feature-by-day" });
  }

  function sliceTable(i, slices, all, name, value) {
    const places = all.map((_, at) => at).filter((at) => all[at][0] === name);
    const rows = places.map((at) => {
      const shares = slices.states.map((values) => values[at]);
      return [
        H.el("a", { href: hrefOf(i, { slice: name, value: all[at][1] }), "aria-current": all[at][1] === value ? "true" : null }, H.name(all[at][1])),
        H.count(all[at][2]),
        H.count(all[at][3]),
        H.percent(H.coverage(slices.states, at)),
        H.change(H.share(slices.change[at])),
        H.interval(slices, at),
        H.stateBar(shares),
        ...shares.map((share) => H.percent(H.share(share))),
        H.number(slices.psi[at] == null ? null : slices.psi[at] / 1000),
      ];
    });
    const heads = ["Value", ["Rows seen"], ["Impressions"], ["Coverage"], ["Change"], ["95 % interval"], "Bar", ...H.data.states.map((state) => [state]), ["PSI"]];
    return H.table({ label: "Slices: " + name, heads, rows, csv: "slices-of-feature", sorts: true });
  }

  function slicesPart(i, { slices }, all, cut) {
    if (!slices || !all.length) return [nothing()];
    const names = Array.from(new Set(all.map((one) => one[0])));
    const chosen = cut && names.includes(cut.slice) ? cut.slice : names[0];
    const select = H.el("select", { id: "feature-slice" }, names.map((name) => H.el("option", { value: name, selected: name === chosen }, name)));
    const box = H.el("div", { class: "slices" }, sliceTable(i, slices, all, chosen, cut && cut.value));
    select.addEventListener("change", () => box.replaceChildren(sliceTable(i, slices, all, select.value, cut && cut.value)));
    return [H.el("p", { class: "tools" }, H.el("label", null, "Slice ", select)), box];
  }

  H.showFeature = async (name, cut) => {
    const i = H.data.features.findIndex((feature) => feature.name === name);
    if (i < 0) {
      page.replaceChildren(H.el("p", { class: "steps" }, H.el("a", { href: "#back" }, "← All features")), H.el("h1", { id: "feature-title", tabindex: "-1" }, "No such feature: ", H.name(name)));
      return;
    }
    const detail = await H.detail();
    const known = H.seriesOf(detail.features[i]);
    const feature = H.data.features[i];
    page.replaceChildren(
      ...heading(i),
      figures(feature, known.now),
      H.el("div", { class: "two" }, panel("States by day", H.el("p", { class: "legend" }, H.data.states.map((state) => H.el("span", { class: "swatch" }, H.el("span", { class: "key s-" + state }), state))), ...states(known)), H.el("div", { class: "panel" }, ...values(known))),
      panel("Slices on " + H.data.ds, ...slicesPart(i, known, detail.slices, cut)),
      H.el("div", { class: "two" }, panel("Declared", ...declared(known, feature)), panel("Where the loss comes from", ...blame(known))),
      panel("By day", H.folded("As a table", byDay(known))),
    );
    const current = page.querySelector("a[aria-current]");
    if (current) current.scrollIntoView({ block: "center" });
  };
})(Headrace);
