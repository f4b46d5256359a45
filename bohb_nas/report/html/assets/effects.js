// The mean loss at each value of a hyperparameter, an overview of all of them, and maps of pairs.

function isNumeric(axis) {
  return axis.kind === "float" || axis.kind === "integer";
}

// [[analysis, curve]] of a hyperparameter, cheapest budget first.
function curves(study, name) {
  return study.importance
    .map((one, k) => [k, one.parameters.find((p) => p.name === name)])
    .filter(([, p]) => p !== undefined && p.curve !== null)
    .map(([k, p]) => [k, p.curve]);
}

function tried(study, name, rung) {
  const values = study.configs.values.get(name) ?? [];
  const { trials } = study;
  const found = [];
  trials.budget.forEach((budget, k) => {
    const value = values[trials.config[k]];
    if (budget === rung && trials.loss[k] !== null && trials.origin[k] !== "baseline" && value !== null && value !== undefined) found.push(value);
  });
  return found;
}

chart("effects", (host, chosen) => {
  const study = STUDIES[chosen];
  const names = rankedNames(study).filter((name) => curves(study, name).length);
  if (!names.length) return host.append(refusal("No effects to show: importance was refused at every budget."));
  const labels = new Map(analyses(study));
  const state = { name: names[0], log: false, off: new Set() };
  const settings = h("div");
  const figure = h("div");
  const axis = () => study.hyperparameters.find((one) => one.name === state.name);

  function draw(svg, width) {
    const height = width < 560 ? 320 : 380;
    const one = axis();
    const shown = curves(study, state.name).filter(([k]) => !state.off.has(k));
    const y = linear(range(shown.flatMap(([, curve]) => [...curve.low, ...curve.high])), height - 62, 30, { pad: 0.04 });
    const box = { ...inner(width, height, y), bottom: height - 46 };
    const values = isNumeric(one) ? null : (shown[0]?.[1].at ?? one.choices);
    const x = values === null ? scale(state.log, [one.lower, one.upper], box.left, box.right) : { ...levels(values, box.left, box.right), levels: true };
    const at = (value, k) => (values === null ? x.at(value) : x.at(k));
    axes(svg, box, x, y, { xTitle: state.name, yTitle: shown.some(([k]) => study.importance[k].budget === null) ? "mean loss (over all budgets: its quantile)" : "mean loss" });
    const points = [];
    const lines = [];
    shown.forEach(([k, curve], n) => {
      const group = s("g", { class: `series-${k % COLOURS}` });
      const shift = values === null ? 0 : (n - (shown.length - 1) / 2) * 12;
      const place = curve.at.map((value, j) => at(value, values === null ? j : values.indexOf(value)) + shift);
      const over = (row) => row.map((loss, j) => [place[j], y.at(loss)]);
      if (values === null) {
        group.append(s("path", { class: "band", d: `${path(over(curve.low))}${path(over(curve.high).reverse()).replace("M", "L")}Z` }), s("path", { class: "line", d: path(over(curve.mean)) }));
      } else {
        group.append(s("path", { class: "whisker", d: place.map((px, j) => `M${round(px)} ${round(y.at(curve.low[j]))}V${round(y.at(curve.high[j]))}`).join("") }));
        group.append(s("path", { class: "mark", d: place.map((px, j) => mark(k, px, y.at(curve.mean[j]), 5)).join("") }));
      }
      rug(group, k, one, x, box, n, values);
      svg.append(group);
      curve.at.forEach((value, j) => {
        points.push([place[j], y.at(curve.mean[j])]);
        lines.push([`${state.name} = ${valueText(value)}`, `mean loss ${number(curve.mean[j])}`, `over trees ${number(curve.low[j])} to ${number(curve.high[j])}`, labels.get(k)]);
      });
    });
    const best = study.incumbent?.config[state.name];
    if (best !== undefined && (values === null || values.includes(best))) {
      const px = round(at(best, values?.indexOf(best)));
      const right = px > (box.left + box.right) / 2;
      svg.append(s("line", { class: "reference", x1: px, x2: px, y1: box.top - 8, y2: box.bottom }));
      svg.append(s("text", { class: "title", x: px + (right ? -5 : 5), y: 26, "text-anchor": right ? "end" : "start" }, "incumbent"));
    }
    const summary = shown.map(([k, curve]) => `${labels.get(k)}: lowest mean loss ${number(range(curve.mean)[0])} at ${valueText(curve.at[curve.mean.indexOf(range(curve.mean)[0])])}`).join("; ");
    return { height, points, describe: (k) => lines[k], summary: `${summary}.` };
  }

  function rug(group, k, one, x, box, n, values) {
    const rung = study.importance[k].budget;
    if (rung === null) return;
    const found = tried(study, state.name, rung);
    if (values !== null) return;
    const top = box.bottom - 4 - 5 * (n + 1);
    group.append(s("path", { class: "rug", d: found.filter((v) => v >= one.lower && v <= one.upper && (!state.log || v > 0)).map((v) => `M${round(x.at(v))} ${top}v4`).join("") }));
  }

  function refresh() {
    const one = axis();
    const set = (value) => {
      state.log = value === "log";
      redraw();
    };
    const flip = (k) => (on) => {
      if (on) state.off.delete(k);
      else state.off.add(k);
      redraw();
    };
    state.log = one.log;
    settings.replaceChildren(
      controls(
        choice("Hyperparameter", names.map((name) => [name, name]), state.name, pick),
        ticks("Budgets", curves(study, state.name).map(([k]) => tick(labels.get(k), !state.off.has(k), flip(k), swatch(k)))),
        isNumeric(one) && one.lower > 0 ? radios("Axis", [["linear", "linear"], ["log", "log"]], one.log ? "log" : "linear", set) : null,
      ),
      h("p", { class: "note" }, one.condition === null ? "Always active." : `Active where ${one.condition}.`),
    );
    redraw();
  }

  function pick(name) {
    state.name = name;
    refresh();
    settings.querySelector("select").focus();
  }

  // The budget that says most is drawn first; quantiles over all budgets have another scale.
  for (const [k] of analyses(study)) if (study.importance[k].budget === null) state.off.add(k);
  host.append(settings, figure);
  const redraw = plot(figure, "Mean loss at each value", draw);
  refresh();
  host.append(overview(study, names, (name) => { pick(name); host.scrollIntoView({ block: "start" }); }));
  return undefined;
});

// Hyperparameters by falling importance at the budget that tells most, constants left out.
function rankedNames(study) {
  const ranked = (study.importance[telling(study)]?.parameters ?? []).map((p) => p.name);
  const rest = study.importance.flatMap((one) => one.parameters.map((p) => p.name));
  const known = new Set(study.hyperparameters.filter((one) => one.kind !== "constant").map((one) => one.name));
  return [...new Set([...ranked, ...rest, ...known])].filter((name) => known.has(name));
}

const OVERVIEW = 18; // small curves before the rest is asked for

// A small curve of every hyperparameter on one common scale of losses.
function overview(study, names, pick) {
  const which = telling(study);
  const found = names.map((name) => [name, curves(study, name).find(([k]) => k === which)?.[1]]).filter(([, curve]) => curve !== undefined);
  const ends = range(found.flatMap(([, curve]) => curve.mean));
  const y = linear(ends, 56, 6);
  const small = found.map(([name, curve], n) => {
    const axis = study.hyperparameters.find((one) => one.name === name);
    const x = isNumeric(axis) ? scale(axis.log, [axis.lower, axis.upper], 4, 136) : levels(curve.at, 4, 136);
    const points = curve.at.map((value, k) => [x.at(isNumeric(axis) ? value : k), y.at(curve.mean[k])]);
    const drawn = isNumeric(axis) ? s("path", { class: "line", d: path(points) }) : s("path", { class: "mark", d: points.map(([px, py]) => mark(0, px, py, 3.5)).join("") });
    const p = study.importance[which].parameters.find((one) => one.name === name);
    const svg = s("svg", { viewBox: "0 0 140 62", "aria-hidden": "true", class: "series-0" }, drawn);
    const button = h("button", { type: "button", hidden: n >= OVERVIEW, class: p.claimed ? "small" : "small faded", title: name }, h("span", { class: "name" }, name), h("span", { class: "share" }, share(p.with_parents)), svg);
    button.addEventListener("click", () => pick(name));
    return button;
  });
  const title = `All of them at ${new Map(analyses(study)).get(which)}, on one scale of losses; grey where nothing is claimed`;
  const rest = h("button", { type: "button" }, `Show all ${small.length}`);
  rest.addEventListener("click", () => {
    for (const button of small) button.hidden = false;
    rest.remove();
    small[OVERVIEW].focus();
  });
  return h("div", {}, h("h3", {}, title), h("div", { class: "overview" }, small), small.length > OVERVIEW ? h("div", { class: "pages" }, rest) : null);
}

chart("maps", (host, chosen) => {
  const study = STUDIES[chosen];
  const labels = new Map(analyses(study));
  const found = study.importance.flatMap((one, k) => one.pairs.filter((pair) => pair.map !== null).map((pair) => ({ pair, k })));
  if (!found.length) return;
  const figure = h("div");
  const show = (which) => {
    const { pair, k } = found[which];
    figure.replaceChildren();
    plot(figure, `Mean loss over ${pair.names.join(" and ")}`, (svg, width) => map(svg, width, study, pair, labels.get(k)));
  };
  const options = found.map(({ pair, k }, n) => [n, `${pair.names.join(" × ")}, ${share(pair.share)}, ${labels.get(k)}`]);
  const first = found.findLastIndex(({ k }) => k === found.filter((one) => study.importance[one.k].budget !== null).at(-1)?.k && true);
  const start = Math.max(0, found.findIndex(({ k }) => k === found[Math.max(0, first)].k));
  host.append(h("h3", {}, "Two at a time"), controls(choice("Pair", options, start, (n) => show(Number(n)))), figure);
  show(start);
});

const SHADES = 9;

function map(svg, width, study, pair, where) {
  const [first, second] = pair.map.at;
  const { mean } = pair.map;
  const height = Math.min(460, Math.max(280, width * 0.6));
  const text = (values) => values.map((one) => (typeof one === "number" ? number(Number(one.toPrecision(2))) : valueText(one)));
  const left = Math.min(width / 3, 14 + Math.max(...text(second).map((one) => one.length)) * CHARACTER);
  const box = { left, right: width - 8, top: 52, bottom: height - 46 };
  const [lo, hi] = range(mean.flat());
  const shade = (loss) => (hi > lo ? Math.min(SHADES - 1, Math.floor(((loss - lo) / (hi - lo)) * SHADES)) : 0);
  const side = [(box.right - box.left) / first.length, (box.bottom - box.top) / second.length];
  const points = [];
  const lines = [];
  first.forEach((a, i) => {
    second.forEach((b, j) => {
      const [x, y] = [box.left + i * side[0], box.bottom - (j + 1) * side[1]];
      svg.append(s("rect", { class: `shade shade-${shade(mean[i][j])}`, x: round(x), y: round(y), width: round(side[0] + 0.4), height: round(side[1] + 0.4) }));
      points.push([x + side[0] / 2, y + side[1] / 2]);
      lines.push([`mean loss ${number(mean[i][j])}`, `${pair.names[0]} = ${valueText(a)}`, `${pair.names[1]} = ${valueText(b)}`, where]);
    });
  });
  const x = { ...levels(text(first), box.left, box.right), levels: !first.every((one) => typeof one === "number") };
  let free = Infinity;
  text(second).forEach((label, j) => {
    const at = box.bottom - (j + 0.5) * side[1];
    if (at > free) return;
    svg.append(s("text", { x: box.left - 8, y: at + 4, "text-anchor": "end" }, clipped(label, box.left - 10)));
    free = at - 16;
  });
  axes(svg, box, x, { ticks: [] }, { xTitle: pair.names[0], yTitle: "" });
  svg.append(s("text", { class: "title", x: 0, y: 44 }, clipped(pair.names[1], width)));
  legend(svg, width, lo, hi);
  return { height, points, describe: (k) => lines[k], reach: Math.hypot(...side), summary: `Mean loss from ${number(lo)} to ${number(hi)}.` };
}

function legend(svg, width, lo, hi) {
  const side = Math.min(14, (width - 150) / SHADES);
  const end = `${number(hi)}`;
  const right = width - 8 - end.length * CHARACTER - 6;
  for (let k = 0; k < SHADES; k++) svg.append(s("rect", { class: `shade shade-${k}`, x: right - (SHADES - k) * side, y: 4, width: side, height: 12 }));
  svg.append(s("text", { x: right - SHADES * side - 6, y: 14, "text-anchor": "end" }, `mean loss ${number(lo)}`), s("text", { x: right + 6, y: 14 }, end));
}
