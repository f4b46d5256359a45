// The mean loss at each value of a hyperparameter, and an overview of all of them.

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
    const drawn = !["baseline", "search"].includes(trials.origin[k]);
    if (budget === rung && trials.loss[k] !== null && drawn && value !== null && value !== undefined) found.push(value);
  });
  return found;
}

chart("effects", (host, chosen) => {
  const study = STUDIES[chosen];
  const names = rankedNames(study).filter((name) => curves(study, name).length);
  if (!names.length) return host.append(refusal("No effects to show: there is no importance at any budget."));
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
    const x =
      values === null
        ? scale(state.log, [one.lower, one.upper], box.left, box.right)
        : { ...levels(values, box.left, box.right), levels: true };
    const at = (value, k) => (values === null ? x.at(value) : x.at(k));
    axes(svg, box, x, y, {
      xTitle: state.name,
      yTitle: shown.some(([k]) => study.importance[k].budget === null) ? "mean loss (over all budgets: its quantile)" : "mean loss",
    });
    const points = [];
    const lines = [];
    shown.forEach(([k, curve], n) => {
      const group = s("g", { class: `series-${k % COLOURS}` });
      const shift = values === null ? 0 : (n - (shown.length - 1) / 2) * 12;
      const place = curve.at.map((value, j) => at(value, values === null ? j : values.indexOf(value)) + shift);
      const over = (row) => row.map((loss, j) => [place[j], y.at(loss)]);
      if (values === null) {
        group.append(
          s("path", { class: "band", d: `${path(over(curve.low))}${path(over(curve.high).reverse()).replace("M", "L")}Z` }),
          s("path", { class: "line", d: path(over(curve.mean)) }),
        );
      } else {
        group.append(
          s("path", {
            class: "whisker",
            d: place.map((px, j) => `M${round(px)} ${round(y.at(curve.low[j]))}V${round(y.at(curve.high[j]))}`).join(""),
          }),
        );
        group.append(s("path", { class: "mark", d: place.map((px, j) => mark(k, px, y.at(curve.mean[j]), 5)).join("") }));
      }
      rug(group, k, one, x, box, n, values);
      svg.append(group);
      curve.at.forEach((value, j) => {
        points.push([place[j], y.at(curve.mean[j])]);
        lines.push([
          `${state.name} = ${valueText(value)}`,
          `mean loss ${lossText(study, curve.mean[j])}`,
          `over trees ${lossText(study, curve.low[j])} to ${lossText(study, curve.high[j])}`,
          `at ${labels.get(k)}`,
        ]);
      });
    });
    const best = study.incumbent?.config[state.name];
    if (best !== undefined && (values === null || values.includes(best))) {
      const px = round(at(best, values?.indexOf(best)));
      const right = px > (box.left + box.right) / 2;
      svg.append(s("line", { class: "reference", x1: px, x2: px, y1: box.top - 8, y2: box.bottom }));
      svg.append(s("text", { class: "title", x: px + (right ? -5 : 5), y: 26, "text-anchor": right ? "end" : "start" }, "incumbent"));
    }
    const least = shown.map(([k, curve]) => [labels.get(k), curve.mean.indexOf(range(curve.mean)[0]), curve]);
    const summary = least.map(([at, j, curve]) => `${at}: lowest mean loss ${lossText(study, curve.mean[j])} at ${valueText(curve.at[j])}`);
    return { height, points, describe: (k) => lines[k], summary: `${summary.join("; ")}.` };
  }

  function rug(group, k, one, x, box, n, values) {
    const rung = study.importance[k].budget;
    if (rung === null) return;
    const found = tried(study, state.name, rung);
    if (values !== null) return;
    const top = box.bottom - 4 - 5 * (n + 1);
    group.append(
      s("path", {
        class: "rug",
        d: found
          .filter((v) => v >= one.lower && v <= one.upper && (!state.log || v > 0))
          .map((v) => `M${round(x.at(v))} ${top}v4`)
          .join(""),
      }),
    );
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
        choice(
          "Hyperparameter",
          names.map((name) => [name, name]),
          state.name,
          pick,
        ),
        ticks(
          "Budgets",
          curves(study, state.name).map(([k]) => tick(labels.get(k), !state.off.has(k), flip(k), swatch(k))),
        ),
        isNumeric(one) && one.lower > 0
          ? radios(
              "Axis",
              [
                ["linear", "linear"],
                ["log", "log"],
              ],
              one.log ? "log" : "linear",
              set,
            )
          : null,
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
  host.append(
    overview(study, names, (name) => {
      pick(name);
      host.scrollIntoView({ block: "start" });
    }),
  );
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
    const drawn = isNumeric(axis)
      ? s("path", { class: "line", d: path(points) })
      : s("path", { class: "mark", d: points.map(([px, py]) => mark(0, px, py, 3.5)).join("") });
    const p = study.importance[which].parameters.find((one) => one.name === name);
    const svg = s("svg", { viewBox: "0 0 140 62", "aria-hidden": "true", class: "series-0" }, drawn);
    const button = h(
      "button",
      { type: "button", hidden: n >= OVERVIEW, class: p.claimed ? "small" : "small faded", title: name },
      h("span", { class: "name" }, name),
      h("span", { class: "share" }, share(p.with_parents)),
      svg,
    );
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
  return h(
    "div",
    {},
    h("h3", {}, title),
    h("div", { class: "overview" }, small),
    small.length > OVERVIEW ? h("div", { class: "pages" }, rest) : null,
  );
}
