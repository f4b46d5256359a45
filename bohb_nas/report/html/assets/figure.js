// A figure that redraws at every width, and whose points are met by pointer and by arrow keys.

const MARKS = [
  (x, y, r) => `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0`,
  (x, y, r) => `M${x - r} ${y - r}h${2 * r}v${2 * r}h${-2 * r}z`,
  (x, y, r) => `M${x} ${y - 1.3 * r}l${1.3 * r} ${2.2 * r}h${-2.6 * r}z`,
  (x, y, r) => `M${x} ${y - 1.4 * r}l${1.4 * r} ${1.4 * r}l${-1.4 * r} ${1.4 * r}l${-1.4 * r} ${-1.4 * r}z`,
  (x, y, r) => `M${x} ${y + 1.3 * r}l${1.3 * r} ${-2.2 * r}h${-2.6 * r}z`,
];

function round(x) {
  return Math.round(x * 10) / 10;
}

function mark(k, x, y, r) {
  return MARKS[k % MARKS.length](round(x), round(y), r);
}

// A mark as figures have it; of no series it is grey.
function swatch(series, shape = series) {
  return s(
    "svg",
    {
      width: 14,
      height: 14,
      viewBox: "0 0 14 14",
      "aria-hidden": "true",
      class: series === null ? "series-none" : `series-${series % COLOURS}`,
    },
    s("path", { class: "mark", d: mark(shape, 7, 7, 4.5) }),
  );
}

function path(points) {
  return points.map(([x, y], k) => `${k ? "L" : "M"}${round(x)} ${round(y)}`).join("");
}

function steps(points, end) {
  if (!points.length) return "";
  const drawn = points.map(([x, y], k) => (k ? `H${round(x)}V${round(y)}` : `M${round(x)} ${round(y)}`));
  return `${drawn.join("")}H${round(end)}`;
}

// Puts a figure into `parent`. `draw(svg, width)` returns { height, points: [[x, y]], describe(k) -> lines, summary }.
function plot(parent, name, draw) {
  const tip = h("div", { class: "tip", hidden: true });
  const said = h("p", { class: "unseen", "aria-live": "polite" });
  const holder = h("div", { class: "plot", tabindex: 0, role: "group", "aria-label": `${name}. Arrow keys move along its points.` });
  const ring = s("circle", { r: 7, class: "ring", visibility: "hidden" });
  let drawn = { points: [] };
  let order = [];
  let at = -1;
  let width = 0;

  function redraw() {
    width = Math.floor(holder.clientWidth);
    if (width < 50) return;
    hide();
    const svg = s("svg", { role: "img" });
    drawn = draw(svg, width);
    order = drawn.points
      .map((_, k) => k)
      .sort((a, b) => drawn.points[a][0] - drawn.points[b][0] || drawn.points[a][1] - drawn.points[b][1]);
    if (drawn.down) order = drawn.points.map((_, k) => k);
    made(svg, { width, height: drawn.height, viewBox: `0 0 ${width} ${drawn.height}`, "aria-label": `${name}. ${drawn.summary}` }, [ring]);
    holder.replaceChildren(svg, tip, said);
  }

  function show(k, aloud) {
    const [x, y] = drawn.points[k];
    const lines = drawn.describe(k);
    made(ring, { cx: x, cy: y, visibility: "visible" }, []);
    tip.replaceChildren(...lines.map((line, n) => h(n ? "div" : "strong", {}, line)));
    tip.hidden = false;
    const left = Math.min(Math.max(0, x - tip.offsetWidth / 2), width - tip.offsetWidth);
    const above = y - tip.offsetHeight - 14;
    tip.style.left = `${left}px`;
    tip.style.top = `${above < 0 ? y + 14 : above}px`;
    if (aloud) said.textContent = lines.join(", ");
  }

  function hide() {
    at = -1;
    tip.hidden = true;
    ring.setAttribute("visibility", "hidden");
  }

  holder.addEventListener("pointermove", (event) => {
    const place = holder.getBoundingClientRect();
    const [px, py] = [event.clientX - place.left, event.clientY - place.top];
    let best = -1;
    let least = (drawn.reach ?? 26) ** 2;
    drawn.points.forEach(([x, y], k) => {
      const far = (x - px) ** 2 + (y - py) ** 2;
      if (far < least) [best, least] = [k, far];
    });
    if (best >= 0) show(best, false);
    else hide();
  });
  holder.addEventListener("pointerleave", hide);
  holder.addEventListener("blur", hide);
  holder.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity }[
      event.key
    ];
    if (event.key === "Escape") hide();
    if (by === undefined || !order.length) return;
    event.preventDefault();
    at = Math.min(order.length - 1, Math.max(0, at < 0 && by === 1 ? 0 : at + by));
    show(order[at], true);
  });
  new ResizeObserver(() => {
    if (Math.floor(holder.clientWidth) !== width) redraw();
  }).observe(holder);
  parent.append(holder);
  redraw();
  return redraw;
}

// Where the plot's area lies, once its vertical scale is known.
function inner(width, height, y) {
  const longest = Math.max(0, ...y.ticks.map(([, text]) => text.length));
  return { left: Math.min(width / 3, 12 + longest * CHARACTER), right: width - 16, top: 30, bottom: height - 46 };
}

// Axes with their titles; labels that would touch the one before are left out.
function axes(svg, box, x, y, { xTitle, yTitle }) {
  for (const [value, text] of y.ticks) {
    const at = round(y.at(value));
    svg.append(s("line", { class: "grid", x1: box.left, x2: box.right, y1: at, y2: at }));
    svg.append(s("text", { x: box.left - 8, y: at + 4, "text-anchor": "end" }, clipped(text, box.left - 10)));
  }
  let free = -Infinity;
  const room = x.ticks.length ? (box.right - box.left) / x.ticks.length : 0;
  for (const [value, text] of x.ticks) {
    const at = round(x.at(value));
    const label = x.levels ? clipped(text, Math.max(room - 4, 28)) : text;
    const half = (label.length * CHARACTER) / 2;
    svg.append(s("line", { class: "axis", x1: at, x2: at, y1: box.bottom, y2: box.bottom + 5 }));
    const centre = Math.min(at, box.right + 14 - half);
    if (centre - half < free) continue;
    svg.append(s("text", { x: centre, y: box.bottom + 19, "text-anchor": "middle" }, label, label === text ? null : s("title", {}, text)));
    free = centre + half + 8;
  }
  svg.append(s("line", { class: "axis", x1: box.left, x2: box.right, y1: box.bottom, y2: box.bottom }));
  svg.append(s("text", { class: "title", x: box.right, y: box.bottom + 38, "text-anchor": "end" }, clipped(xTitle, box.right)));
  svg.append(s("text", { class: "title", x: 0, y: 14 }, clipped(yTitle, box.right)));
}

function clipped(text, px) {
  const most = Math.max(2, Math.floor(px / CHARACTER));
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}
