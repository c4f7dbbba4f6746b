// Small plots of a few numbers over time, drawn as SVG.
(() => {
  "use strict";
  const SVG = "http://www.w3.org/2000/svg";
  const WIDTH = 600, HEIGHT = 130;

  const element = (name, attributes) => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  // A bound a little above the largest value that is easily read: 1, 2, 5, 10, 20, ...
  const bound = (value) => {
    if (!(value > 0)) return 1;
    const power = 10 ** Math.floor(Math.log10(value));
    return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= value);
  };
  const clock = (seconds) => {
    const whole = Math.round(seconds);
    if (whole < 60) return `${whole} s`;
    if (whole < 3600) return `${Math.floor(whole / 60)} m ${String(whole % 60).padStart(2, "0")} s`;
    return `${Math.floor(whole / 3600)} h ${String(Math.floor(whole / 60) % 60).padStart(2, "0")} m`;
  };

  // `lines`: name and class of each. Points are [seconds, value, ...].
  const plot = (title, unit, lines) => {
    const figure = document.createElement("figure");
    figure.className = "plot";
    const caption = document.createElement("figcaption");
    const name = document.createElement("b");
    name.textContent = title;
    const latest = document.createElement("span");
    caption.append(name, latest);
    const svg = element("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
    const axis = document.createElement("div");
    axis.className = "axis";
    const [from, to] = [document.createElement("span"), document.createElement("span")];
    axis.append(from, to);
    figure.append(caption, svg, axis);

    const draw = (points) => {
      figure.hidden = points.length < 2;
      if (figure.hidden) return;
      const [first, last] = [points[0][0], points[points.length - 1][0]];
      const top = bound(Math.max(...points.flatMap((point) => point.slice(1))));
      const x = (seconds) => ((seconds - first) / Math.max(last - first, 1e-9)) * WIDTH;
      const y = (value) => HEIGHT - (value / top) * (HEIGHT - 4);
      svg.replaceChildren();
      for (const share of [0, 0.5, 1]) {
        svg.append(element("line", { class: "grid", x1: 0, x2: WIDTH, y1: y(top * share), y2: y(top * share) }));
      }
      lines.forEach((line, index) => {
        const path = points.map((point, i) => `${i ? "L" : "M"}${x(point[0]).toFixed(1)} ${y(point[index + 1]).toFixed(1)}`).join("");
        if (index === 0) svg.append(element("path", { class: "area", d: `${path}L${WIDTH} ${HEIGHT}L0 ${HEIGHT}Z` }));
        svg.append(element("path", { class: `line ${line.class}`, d: path }));
      });
      const now = points[points.length - 1];
      const words = lines.map((line, index) => `${line.name}${unit(now[index + 1])}`).join(", ");
      latest.textContent = `${words}, scale to ${unit(top)}`;
      svg.setAttribute("aria-label", `${title} from ${clock(first)} to ${clock(last)}: ${words} at the end`);
      from.textContent = clock(first);
      to.textContent = clock(last);
    };
    return { figure, draw };
  };

  const number = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 1 });
  const perSecond = (value) => `${number.format(value)}/s`;
  const time = (seconds) => (seconds < 1 ? `${number.format(seconds * 1000)} ms` : `${number.format(seconds)} s`);

  // A history as the API gives it, as points: seconds, value, ...
  const rates = ({ span_seconds: span, spans }) => spans.map((one, i) => [(i + 1) * span, one.records / span]);
  const times = ({ span_seconds: span, spans }) => spans
    .map((one, i) => [(i + 1) * span, one.mean_seconds, one.longest_seconds])
    .filter((point) => point[1] !== null);

  window.musterPlots = (section, url) => {
    const plots = [
      [plot("Records loaded", perSecond, [{ name: "", class: "" }]), rates],
      [plot("Time of a delivery", time, [{ name: "mean ", class: "" }, { name: "longest ", class: "second" }]), times],
    ];
    section.querySelector(".plots").append(...plots.map(([one]) => one.figure));
    const look = async (seconds) => {
      // In a span of less than a second deliveries come one by one, which is no rate.
      const spans = Math.round(Math.min(120, Math.max(8, seconds)));
      try {
        const answer = await fetch(`${url}?spans=${spans}`, { headers: { accept: "application/json" } });
        if (!answer.ok) return;
        const history = await answer.json();
        for (const [one, points] of plots) one.draw(points(history));
        section.hidden = history.spans.length < 2;
      } catch { /* The coordinator is away: what was last stays. */ }
    };
    return { look };
  };
})();
