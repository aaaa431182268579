// What happens when the page opens, and when its address changes: #feature=NAME[&slice=S&value=V], #slice=S&value=V.
(function (H) {
  const main = H.byId("main");
  const page = H.byId("feature");
  const title = document.title;
  let left = 0; // where the reader was before a feature was opened

  function asked() {
    const parts = new URLSearchParams(location.hash.slice(1).replace(/\+/g, "%2B"));
    const cut = parts.has("slice") ? { slice: parts.get("slice"), value: parts.get("value") } : null;
    return { feature: parts.get("feature"), cut };
  }

  async function open({ feature, cut }) {
    if (page.hidden) left = scrollY;
    await H.showFeature(feature, cut);
    if (asked().feature !== feature) return;
    main.classList.add("single");
    page.hidden = false;
    document.title = feature + " · " + title;
    const current = page.querySelector("a[aria-current]");
    if (current) current.scrollIntoView({ block: "center" });
    else scrollTo(0, 0);
    H.byId("feature-title").focus({ preventScroll: Boolean(current) });
  }

  function close() {
    if (page.hidden) return;
    page.hidden = true;
    page.replaceChildren();
    main.classList.remove("single");
    document.title = title;
    const target = H.byId(location.hash.slice(1));
    if (target) target.scrollIntoView();
    else scrollTo(0, left); // "#back"
  }

  async function route() {
    const wanted = asked();
    if (wanted.feature != null) return open(wanted);
    close();
    if (!wanted.cut) return;
    await H.showSlice(wanted.cut.slice, wanted.cut.value);
    H.byId("states").scrollIntoView();
  }

  function receipts() {
    const button = H.byId("earlier-receipts");
    button.hidden = !H.data.earlier;
    button.addEventListener("click", async () => {
      const { receipts: rows } = await H.detail();
      const heads = ["Day", "Step", ["Revision"], "Status", ["Rows in"], ["Out"], ["Quarantined"], ["Duplicate"], ["Sampled out"], ["Immature"], ["Unaccounted"], ["Seconds"], "Started", "Notes"];
      const counts = ["rows_in", "rows_out", "rows_quarantined", "rows_duplicate", "rows_sampled_out", "rows_immature", "gap"];
      const notes = (pairs) => pairs.length && H.folded(pairs.length, H.el("dl", { class: "notes" }, pairs.flatMap(([name, value]) => [H.el("dt", null, H.name(name)), H.el("dd", null, H.name(value))])));
      const lines = rows.map((row) => [row.ds, H.name(row.job), row.revision, H.name(row.status), ...counts.map((name) => H.count(row[name])), row.seconds.toFixed(1), row.started, notes(row.notes) || ""]);
      H.byId("earlier-box").replaceChildren(H.table({ label: "Receipts of earlier days", heads, rows: lines, csv: "receipts-earlier" }));
      button.hidden = true;
    });
  }

  H.startOverview();
  document.querySelectorAll("table[data-csv]").forEach(H.adorn);
  document.querySelectorAll(".chart[data-line]").forEach((box) => H.lineChart(box, H.data.lines[box.dataset.line]));
  receipts();
  addEventListener("hashchange", route);
  route();
})(Headrace);
