"use strict";
// What every part of the page uses: elements, numbers for people, and the data that came with the page.
const Headrace = {};

(function (H) {
  const SVG = "http://www.w3.org/2000/svg";

  H.byId = (id) => document.getElementById(id);
  H.data = JSON.parse(H.byId("page-data").textContent);

  function filled(node, attributes, children) {
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === true) node.setAttribute(name, "");
      else if (value !== false && value != null) node.setAttribute(name, value);
    }
    node.append(...children.flat().filter((child) => child != null));
    return node;
  }

  H.el = (tag, attributes, ...children) => filled(document.createElement(tag), attributes, children);
  H.svg = (tag, attributes, ...children) => filled(document.createElementNS(SVG, tag), attributes, children);

  // A name from the data: text only, on its own direction, that may wrap after an underscore.
  H.name = (text) => {
    const parts = String(text).split("_").flatMap((part, i) => (i ? ["_", H.el("wbr"), part] : [part]));
    return H.el("bdi", null, parts);
  };

  H.percent = (share, digits = 1) => {
    if (share == null) return "no data";
    if (share === 0 || share === 1) return share * 100 + "%";
    const least = Math.pow(10, -digits);
    if (share > 0 && share * 100 < least) return "<" + least + "%";
    const rounded = +(share * 100).toFixed(digits);
    return (share < 1 && rounded >= 100 ? 100 - least : rounded).toFixed(digits) + "%";
  };

  H.points = (change) => {
    if (change == null) return "no data";
    const rounded = +(change * 100).toFixed(1);
    return rounded === 0 ? "±0 pp" : (rounded > 0 ? "+" : "") + rounded.toFixed(1) + " pp";
  };

  H.count = (value) => (value == null ? "no data" : Math.round(value).toLocaleString("en-US"));
  H.number = (value) => (value == null ? "no data" : String(+(+value).toPrecision(4)));
  H.share = (units) => (units == null ? null : units / 10000);

  H.change = (share) => {
    const text = H.points(share);
    const kind = share == null || text === "±0 pp" ? "quiet" : share < 0 ? "down" : "up";
    return H.el("span", { class: kind }, text);
  };

  // reports/page_detail.py, `coded`: the difference from the number before, folded; "!" is null.
  function decoded(text) {
    let last = 0;
    return Array.from(text, (character) => {
      if (character === "!") return null;
      const folded = character.charCodeAt(0) - 35;
      last += folded % 2 ? -(folded + 1) / 2 : folded / 2;
      return last;
    });
  }

  // Six states in units of 0.01 % from the five that are stored: the first is what is missing to all.
  function states(texts) {
    const others = texts.map(decoded);
    const real = others[0].map((first, i) => (first == null ? null : others.reduce((left, values) => left - values[i], 10000)));
    return [real, ...others];
  }

  // Coverage from the states: all only where nothing is missing.
  H.coverage = (states, i) => (states[0][i] == null ? null : H.share(states[0][i] + states[1][i]));

  // Interval of a change of coverage.
  H.interval = ({ change, below, above }, i) =>
    below[i] == null || above[i] == null ? "no data" : H.points(H.share(change[i] - below[i])) + " to " + H.points(H.share(change[i] + above[i]));

  const arrays = (part) => part && { ...part, ...Object.fromEntries(["psi", "change", "below", "above"].filter((key) => key in part).map((key) => [key, decoded(part[key])])), states: states(part.states) };

  // One feature of the unpacked data, its series as arrays; `slices` is null where it has none.
  const known = new Map();
  H.seriesOf = (feature) => {
    if (!known.has(feature)) known.set(feature, { ...feature, days: arrays(feature.days), slices: arrays(feature.slices) });
    return known.get(feature);
  };

  // Everything by feature, day and slice: unpacked once, when it is first asked for.
  async function unpacked() {
    const bytes = Uint8Array.from(atob(H.byId("detail").textContent), (character) => character.charCodeAt(0));
    const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return JSON.parse(await new Response(plain).text());
  }
  let detail = null;
  H.detail = () => (detail = detail || unpacked());

  H.debounced = (run, ms) => {
    let waiting = 0;
    return () => {
      clearTimeout(waiting);
      waiting = setTimeout(run, ms);
    };
  };
})(Headrace);
