// What every figure is made of: elements, numbers as text, scales, controls. Data become text nodes and numbers, never markup.
"use strict";

const STUDIES = JSON.parse(document.getElementById("data").textContent).map(opened);
const SPACE = document.querySelector("header svg").namespaceURI;
const NONE = "–";
const COLOURS = 8;
const CHARACTER = 7.2; // width of an average character of a figure's text, in px

function made(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}

function h(name, attributes = {}, ...children) {
  return made(document.createElement(name), attributes, children);
}

function s(name, attributes = {}, ...children) {
  return made(document.createElementNS(SPACE, name), attributes, children);
}

// A study as it came, with its coded columns opened.
function opened(study) {
  const words = (column) => (Array.isArray(column) ? column : column.codes.map((code) => (code === null ? null : column.words[code])));
  const trials = study.trials;
  for (const name of ["origin", "status", "device", "message"]) trials[name] = words(trials[name]);
  study.shapes.origin = words(study.shapes.origin);
  study.configs.values = new Map(Object.entries(study.configs.values).map(([name, column]) => [name, words(column)]));
  for (const one of study.importance) for (const p of one.parameters) if (p.curve !== null) p.curve.at ??= study.grids[p.name];
  study.best = study.incumbent === null ? -1 : trials.id.indexOf(study.incumbent.trial_id);
  return study;
}

function number(x, digits = 4) {
  if (x === null || x === undefined) return NONE;
  const size = Math.abs(x);
  const text =
    size !== 0 && (size >= Math.max(1e6, 10 ** digits) || size < 1e-4)
      ? x
          .toExponential(digits - 2)
          .replace("e+", "e")
          .replace(/\.?0+e/, "e")
      : String(Number(x.toPrecision(digits)));
  return text.replace("-", "−");
}

// A loss with the digits that tell it from its study's others.
function lossText(study, x) {
  return number(x, study.loss_digits);
}

function share(x, decimals = 1) {
  return x === null || x === undefined ? NONE : `${(100 * x).toFixed(decimals).replace("-", "−")}\u00a0%`;
}

// A network's error: good ones are below one per cent.
function errorText(x) {
  return share(x, 2);
}

// A share without the zeros that a scale does not need.
function perCent(x) {
  return `${String(Number((100 * x).toPrecision(3))).replace("-", "−")}\u00a0%`;
}

// "1 trial", "2 trials".
function counted(n, noun) {
  return `${n} ${noun}${n === 1 ? "" : "s"}`;
}

function count(x) {
  if (x === null) return NONE;
  const shown = (size) => Number((x / size).toPrecision(3));
  const [size, letter] = [
    [1e12, "\u00a0T"],
    [1e9, "\u00a0G"],
    [1e6, "\u00a0M"],
  ].find(([one]) => Math.abs(shown(one)) >= 1) ?? [1, ""];
  return letter ? `${shown(size)}${letter}` : String(Math.round(x)).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

function duration(seconds) {
  const units = [
    ["d", 86400],
    ["h", 3600],
    ["min", 60],
  ];
  for (const [name, size] of units) if (seconds >= 2 * size) return `${Number((seconds / size).toPrecision(3))} ${name}`;
  return `${Number(seconds.toPrecision(3))} s`;
}

function valueText(value) {
  return value === null || value === undefined ? "inactive" : typeof value === "number" ? number(value) : String(value);
}

function range(values) {
  let lo = Infinity;
  let hi = -Infinity;
  for (const value of values) {
    if (value === null || value === undefined) continue;
    if (value < lo) lo = value;
    if (value > hi) hi = value;
  }
  return lo <= hi ? [lo, hi] : [0, 1];
}

// Scales: `at` turns a value into px, `ticks` are [value, text].
function linear([lo, hi], from, to, { pad = 0, format = null } = {}) {
  const slack = hi > lo ? (hi - lo) * pad : Math.max(Math.abs(lo) * 0.1, 1e-9);
  const [low, high] = [lo - slack, hi + slack];
  const n = Math.max(3, Math.floor(Math.abs(to - from) / (format ? 80 : 46)));
  const rough = (high - low) / n;
  const power = 10 ** Math.floor(Math.log10(rough));
  const wide = power * [1, 2, 5, 10].find((k) => k * power >= rough * 0.999);
  const step = Math.floor(high / wide) - Math.ceil(low / wide) < 1 ? wide / 5 : wide; // two ticks make a scale
  const digits = Math.min(12, Math.max(0, -Math.floor(Math.log10(step) + 1e-9)));
  const apart = (value) => number(value, Math.min(17, Math.max(4, 2 + Math.floor(Math.log10(Math.abs(value) / step)))));
  const plain = (value) => (Math.abs(value) >= 1e6 || step < 1e-6 ? apart(value) : value.toFixed(digits).replace("-", "−"));
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9 && ticks.length < 50; k++) {
    ticks.push([k * step, (format ?? plain)(k === 0 ? 0 : k * step)]);
  }
  return {
    at: (value) => from + ((value - low) / (high - low)) * (to - from),
    back: (px) => low + ((px - from) / (to - from)) * (high - low),
    ticks,
  };
}

function logarithmic([lo, hi], from, to, { format = number } = {}) {
  const [low, high] = lo < hi ? [Math.log10(lo), Math.log10(hi)] : [Math.log10(lo) - 0.5, Math.log10(lo) + 0.5];
  const at = (value) => from + ((Math.log10(value) - low) / (high - low)) * (to - from);
  const n = Math.max(2, Math.floor(Math.abs(to - from) / 60));
  const every = Math.ceil((high - low) / n);
  const multiples = every > 1 || high - low > n / 2 ? [1] : high - low > n / 4 ? [1, 3] : high - low > 0.7 ? [1, 2, 5] : null;
  const ticks = [];
  if (multiples === null) {
    const own = format === number ? {} : { format };
    ticks.push(...linear([10 ** low, 10 ** high], from, to, own).ticks.filter(([value]) => value > 0));
  } else {
    for (let power = Math.floor(low); power <= Math.ceil(high); power += every) {
      for (const k of multiples) ticks.push([k * 10 ** power, format(Number((k * 10 ** power).toPrecision(3)))]);
    }
  }
  const seen = ticks.filter(([value]) => value >= 10 ** (low - 1e-6) && value <= 10 ** (high + 1e-6));
  return { at, back: (px) => 10 ** (low + ((px - from) / (to - from)) * (high - low)), ticks: seen };
}

function levels(values, from, to) {
  const at = (k) => from + ((k + 0.5) / values.length) * (to - from);
  return { at, back: (px) => px, ticks: values.map((value, k) => [k, valueText(value)]) };
}

function scale(log, ends, from, to, options) {
  return log && ends[0] > 0 ? logarithmic(ends, from, to, options) : linear(ends, from, to, options);
}

// At most n, evenly spread over all.
function thinned(all, n) {
  return all.length <= n ? all : Array.from({ length: n }, (_, k) => all[Math.floor((k * all.length) / n)]);
}

// How losses are shown: `limit` is where those begin that are too far from the rest, `log` whether the rest spans over two decades.
const FAR = 10; // interquartile ranges beyond the third quartile, of logarithms too where all are positive
function spread(losses) {
  const sorted = losses.slice().sort((a, b) => a - b);
  const [first, third] = [0.25, 0.75].map((q) => sorted[Math.floor(q * (sorted.length - 1))]);
  const positive = sorted[0] > 0;
  if (sorted.length < 8 || first === third) return { limit: Infinity, log: positive && sorted.at(-1) / sorted[0] > 100 };
  const steep = positive ? third * (third / first) ** FAR : Infinity;
  const last = sorted.findLast((loss) => loss <= steep);
  if (positive && last / sorted[0] > 100) return { limit: steep, log: true };
  return { limit: Math.min(steep, third + FAR * (third - first)), log: false };
}

function timeTicks(end) {
  const [unit, size] = [
    ["d", 86400],
    ["h", 3600],
    ["min", 60],
    ["s", 1],
  ].find(([, one]) => end >= 2 * one) ?? ["s", 1];
  return { unit, size };
}

// Controls, each with its label.
function choice(label, options, value, change) {
  const select = h(
    "select",
    {},
    options.map(([one, text]) => h("option", { value: one, selected: String(one) === String(value) }, text)),
  );
  select.addEventListener("change", () => change(select.value));
  return h("label", { class: "control" }, h("span", {}, label), select);
}

function tick(label, on, change, mark = null) {
  const input = h("input", { type: "checkbox", checked: on });
  input.addEventListener("change", () => change(input.checked));
  return h("label", { class: "tick" }, input, mark, h("span", {}, label));
}

let groups = 0;
function radios(legend, options, value, change) {
  const name = `group-${groups++}`;
  const inputs = options.map(([one, text]) => {
    const input = h("input", { type: "radio", name, value: one, checked: String(one) === String(value) });
    input.addEventListener("change", () => change(one));
    return h("label", {}, input, h("span", {}, text));
  });
  return h("fieldset", { class: "segments" }, h("legend", {}, legend), h("div", {}, inputs));
}

function ticks(legend, ...inputs) {
  return h("fieldset", { class: "ticks" }, h("legend", {}, legend), h("div", {}, inputs));
}

function controls(...some) {
  return h("div", { class: "controls" }, some);
}

// What the marks of a figure stand for: [swatch or null, text].
function key(...entries) {
  return h(
    "p",
    { class: "key" },
    entries.map(([sign, text]) => h("span", {}, sign, sign === null ? null : " ", text)),
  );
}

function refusal(text) {
  return h("p", { class: "refused" }, text);
}

// What fills each chart's place: [id, build(host, study)].
const CHARTS = [];
function chart(id, build) {
  CHARTS.push([`chart-${id}`, build]);
}
