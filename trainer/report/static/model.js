// The model report's tables, saved under its own name.
(function (H) {
  const made = H.el;
  H.el = (tag, attributes, ...children) => made(tag, attributes && attributes.download ? { ...attributes, download: attributes.download.replace(/^coverage-/, "") } : attributes, ...children);
  document.querySelectorAll("table[data-csv]").forEach(H.adorn);
  // On paper every table is whole.
  const opened = [];
  addEventListener("beforeprint", () => document.querySelectorAll("details:not([open])").forEach((part) => { part.open = true; opened.push(part); }));
  addEventListener("afterprint", () => opened.splice(0).forEach((part) => { part.open = false; }));
})(Headrace);
