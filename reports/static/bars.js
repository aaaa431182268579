// Bars in SVG: states stacked by day, and a histogram of now beside the reference.
(function (H) {
  const HEIGHT = 190;
  const LEFT = 46;
  const RIGHT = 18;
  const BELOW = 24;

  const text = (x, y, anchor, content) => H.svg("text", { x, y, "text-anchor": anchor, class: "axis" }, content);
  const rule = (y, width) => H.svg("line", { x1: LEFT, x2: width, y1: y, y2: y, class: "rule" });

  function frame(box, ticks) {
    const full = Math.max(220, box.clientWidth);
    const width = full - RIGHT;
    const plot = { width, left: LEFT, bottom: HEIGHT - BELOW, height: HEIGHT - BELOW - 10 };
    const svg = H.svg("svg", { width: full, height: HEIGHT, viewBox: "0 0 " + full + " " + HEIGHT, "aria-hidden": "true" });
    for (const [share, label] of ticks) {
      const y = plot.bottom - share * plot.height;
      svg.append(rule(y, width), text(LEFT - 6, y + 4, "end", label));
    }
    box.replaceChildren(svg);
    return { svg, plot };
  }

  // states: six arrays of shares in units of 0.01 %, one entry per day; a day without data stays empty.
  H.stackedDays = (box, states) =>
    H.chart(box, () => {
      const { svg, plot } = frame(box, [[0, "0%"], [0.5, "50%"], [1, "100%"]]);
      const days = H.data.days;
      const step = (plot.width - plot.left) / days.length;
      const every = Math.max(1, Math.ceil(46 / step));
      days.forEach((day, d) => {
        let y = plot.bottom;
        states.forEach((values, s) => {
          const height = ((values[d] || 0) / 10000) * plot.height;
          y -= height;
          const place = { x: plot.left + d * step, y, width: Math.max(step - (step > 4 ? 1 : 0.2), 0.5), height };
          if (height > 0) svg.append(H.svg("rect", { ...place, class: "s-" + H.data.states[s] }));
        });
        if ((days.length - 1 - d) % every === 0) svg.append(text(plot.left + (d + 0.5) * step, HEIGHT - 8, "middle", day.slice(5)));
      });
    });

  function edge(bars, i) {
    return bars.low[i] == null ? "−∞" : H.number(bars.low[i]);
  }

  H.barName = (bars, i) => {
    const high = bars.high[i] == null ? "∞" : H.number(bars.high[i]);
    const single = bars.low[i] === bars.high[i] || (bars.kind === "each" && Number.isInteger(bars.low[i]));
    return single ? edge(bars, i) : edge(bars, i) + " to " + high;
  };

  // bars: see reports/page_bins.py. Now is filled, the reference a line with a dot, so that no colour is needed to tell them apart.
  H.histogram = (box, bars) =>
    H.chart(box, () => {
      const most = Math.max(...bars.now, ...(bars.reference || [0]));
      const { svg, plot } = frame(box, [[0, "0%"], [0.5, H.percent(most / 2)], [1, H.percent(most)]]);
      const step = (plot.width - plot.left) / bars.now.length;
      const every = Math.max(1, Math.ceil(58 / step));
      const tall = (share) => (share / most) * plot.height;
      bars.now.forEach((share, i) => {
        const x = plot.left + i * step;
        const height = tall(share);
        svg.append(H.svg("rect", { x: x + 0.5, y: plot.bottom - height, width: Math.max(step - 1, 0.5), height, class: "now" }));
        if (bars.reference) {
          const y = plot.bottom - tall(bars.reference[i]);
          svg.append(H.svg("line", { x1: x, x2: x + step, y1: y, y2: y, class: "reference" }));
        }
        if (i % every === 0) svg.append(text(x + step / 2, HEIGHT - 8, "middle", edge(bars, i)));
      });
    });

  // One bar of six states, as in the table of features; shares in units.
  H.stateBar = (shares) => {
    const svg = H.svg("svg", { class: "bar", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" });
    let x = 0;
    shares.forEach((share, s) => {
      if (share) svg.append(H.svg("rect", { x: x / 100, y: 0, width: share / 100, height: 10, class: "s-" + H.data.states[s] }));
      x += share || 0;
    });
    return svg;
  };
})(Headrace);
