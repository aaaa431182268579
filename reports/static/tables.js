// Tables: one made from rows, sorted by a heading, and saved as CSV.
(function (H) {
  const NUMBER = /^[<+\-−]?[\d.,]+(e[+-]?\d+)?\s*(%|pp)?$/i;
  const NOTHING = new Set(["no data", "–", ""]);

  function textOf(cell) {
    const notes = cell.querySelector("dl.notes");
    if (!notes) return cell.textContent.replace(/\s+/g, " ").trim();
    const names = Array.from(notes.querySelectorAll("dt"), (name) => name.textContent);
    return Array.from(notes.querySelectorAll("dd"), (value, i) => names[i] + "=" + value.textContent).join("; ");
  }

  // RFC 4180; a thousands comma goes, and text that a spreadsheet would run as a formula gets an apostrophe.
  function field(text) {
    if (NOTHING.has(text)) return "";
    if (NUMBER.test(text)) return text.replace(/,/g, "");
    const safe = /^[=+\-@\t\r]/.test(text) ? "'" + text : text;
    return /[",\r\n]/.test(safe) ? '"' + safe.replace(/"/g, '""') + '"' : safe;
  }

  H.csv = (table) => {
    const rows = Array.from(table.rows).filter((row) => !row.hidden);
    const cells = (row) => (row.kept ? [row.cells[0], ...row.kept] : Array.from(row.cells)); // kept: overview.js, strip
    return rows.map((row) => cells(row).map((cell) => field(textOf(cell))).join(",")).join("\r\n") + "\r\n";
  };

  function save(name, text) {
    const url = URL.createObjectURL(new Blob(["\ufeff", text], { type: "text/csv;charset=utf-8" }));
    H.el("a", { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  }

  function value(cell) {
    const text = cell ? textOf(cell) : "";
    if (NOTHING.has(text)) return null;
    if (!NUMBER.test(text)) return text;
    const number = parseFloat(text.replace(/[<,]/g, "").replace("−", "-"));
    return text.startsWith("<") ? number / 2 : number;
  }

  function compare(a, b) {
    if (a === null || b === null) return (a === null) - (b === null);
    return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
  }

  function sort(table, heading) {
    const at = heading.cellIndex;
    const down = heading.getAttribute("aria-sort") === "ascending" || (!heading.hasAttribute("aria-sort") && heading.matches(".n"));
    const rows = Array.from(table.tBodies[0].rows, (row) => [value(row.cells[at]), row]);
    rows.sort(([a], [b]) => (down && a !== null && b !== null ? -compare(a, b) : compare(a, b)));
    table.tBodies[0].append(...rows.map(([, row]) => row));
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
  }

  function sortable(table) {
    for (const heading of table.tHead.rows[0].cells) {
      const button = H.el("button", { type: "button", class: "sort" });
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => sort(table, heading));
    }
  }

  // Gives a table its button and, where it is asked for, headings to sort by.
  H.adorn = (table) => {
    const region = table.closest(".scroll");
    const label = region.getAttribute("aria-label");
    const button = H.el("button", { type: "button", class: "csv", "aria-label": "Download as CSV: " + label }, "CSV");
    button.addEventListener("click", () => save("coverage-" + H.data.ds + "-" + table.dataset.csv + ".csv", H.csv(table)));
    region.after(H.el("p", { class: "under" }, button));
    if (table.matches(".sortable")) sortable(table);
  };

  // heads: text, or [text] over numbers; a row is an array of cells (text or nodes), the first of them its heading.
  H.table = ({ label, heads, rows, csv, sorts }) => {
    const head = heads.map((one) => (Array.isArray(one) ? H.el("th", { scope: "col", class: "n" }, H.name(one[0])) : H.el("th", { scope: "col" }, H.name(one))));
    const numeric = heads.map((one) => Array.isArray(one));
    const body = rows.map((cells) =>
      H.el("tr", null, cells.map((cell, i) => (i === 0 ? H.el("th", { scope: "row" }, cell) : H.el("td", { class: numeric[i] ? "n" : null }, cell)))),
    );
    const table = H.el("table", { "data-csv": csv, class: sorts ? "sortable" : null }, H.el("thead", null, H.el("tr", null, head)), H.el("tbody", null, body));
    const region = H.el("div", { class: "scroll mid", tabindex: "0", role: "region", "aria-label": label }, table);
    const box = H.el("div", null, region);
    H.adorn(table);
    return box;
  };

  H.folded = (title, content) => H.el("details", null, H.el("summary", null, title), content);
})(Headrace);
