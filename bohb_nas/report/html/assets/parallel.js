// Configurations as lines from axis to axis; a slider keeps those with the lowest losses.

const GROUPS = 5; // of lines by loss, each one shade
const LINES = 300; // more than these hide each other

chart("parallel", (host, chosen) => {
  const study = STUDIES[chosen];
  const { trials } = study;
  const usable = [...trials.id.keys()].filter((k) => trials.loss[k] !== null && !["baseline", "search"].includes(trials.origin[k]));
  const rungs = [...new Set(usable.map((k) => trials.budget[k]))].sort((a, b) => a - b);
  const names = rankedNames(study).filter((name) => study.configs.values.has(name));
  if (!usable.length || !names.length) return host.append(refusal("No evaluation has ended well yet."));
  const first = study.importance[telling(study)]?.budget;
  const state = {
    rung: rungs.includes(first) ? first : rungs.at(-1),
    n: Math.min(8, names.length),
    keep: 100,
  };
  const most = Math.max(...rungs.map((rung) => usable.filter((k) => trials.budget[k] === rung).length));
  if (most > LINES) state.keep = Math.max(1, Math.round((LINES / most) * 100));
  const told = h("output", {});

  function draw(svg, width) {
    const height = 400;
    const rows = usable.filter((k) => trials.budget[k] === state.rung).sort((a, b) => trials.loss[a] - trials.loss[b]);
    const kept = Math.max(1, Math.round((rows.length * state.keep) / 100));
    const shown = names.slice(0, Math.min(state.n, Math.max(2, Math.floor(width / 76))));
    const step = width / (shown.length + 1);
    const box = { left: step / 2, right: width - step / 2, top: 44, bottom: height - 62 };
    const off = box.bottom + 16; // where inactive ones pass
    const scales = shown.map((name) =>
      axis(
        study.hyperparameters.find((one) => one.name === name),
        name,
      ),
    );
    const { limit } = spread(rows.map((k) => trials.loss[k]));
    const loss = linear(range(rows.map((k) => Math.min(trials.loss[k], limit))), box.bottom, box.top);
    const points = (k) => [
      ...shown.map((name, a) => [box.left + a * step, scales[a].at(study.configs.values.get(name)[trials.config[k]])]),
      [box.right, loss.at(Math.min(trials.loss[k], limit))],
    ];
    const lines = (some) => some.map((k) => path(points(k))).join("");
    svg.append(s("path", { class: "thread past", d: lines(thinned(rows.slice(kept), LINES)) }));
    for (let group = GROUPS - 1; group >= 0; group--) {
      const some = rows.slice(Math.floor((kept * group) / GROUPS), Math.floor((kept * (group + 1)) / GROUPS));
      svg.append(s("path", { class: `thread kept rank-${group}`, d: lines(some) }));
    }
    if (study.best >= 0 && trials.budget[study.best] === state.rung)
      svg.append(s("path", { class: "incumbent alone", d: lines([study.best]) }));
    shown.forEach((name, a) => {
      const x = box.left + a * step;
      label(svg, x, name, scales[a].ends, step, box);
      if (scales[a].gaps) svg.append(s("circle", { class: "gap", cx: x, cy: off, r: 3 }));
    });
    label(
      svg,
      box.right,
      "loss",
      [rows.map((k) => trials.loss[k]), rows.map((k) => Math.min(trials.loss[k], limit))].map((some, end) => lossText(study, range(some)[end])),
      step,
      box,
    );
    if (scales.some((one) => one.gaps)) svg.append(s("text", { class: "title", x: 0, y: height - 2 }, "rings below the axes: inactive"));
    const worst = rows.length ? trials.loss[rows[kept - 1]] : null;
    told.textContent = `${Math.min(kept, rows.length)} of ${counted(rows.length, "evaluation")}, loss up to ${lossText(study, worst)}`;
    const ends = rows.slice(0, kept).map((k) => points(k).at(-1));
    const describe = (n) => {
      const k = rows[n];
      const set = shown.map((name) => `${name} ${valueText(study.configs.values.get(name)[trials.config[k]])}`);
      return [`loss ${lossText(study, trials.loss[k])}`, `trial ${trials.id[k]}, ${trials.origin[k]}`, ...set];
    };
    const left = names.length - shown.length;
    return {
      height,
      points: ends,
      describe,
      down: true,
      summary: `${told.textContent}. ${shown.length} hyperparameters by importance${left ? `, ${left} not shown` : ""}.`,
    };

    function axis(one, name) {
      const values = study.configs.values.get(name);
      const gaps = rows.some((k) => values[trials.config[k]] === null || values[trials.config[k]] === undefined);
      if (one !== undefined && isNumeric(one)) {
        const along = scale(one.log, [one.lower, one.upper], box.bottom, box.top);
        return { gaps, ends: [number(one.lower), number(one.upper)], at: (value) => (typeof value === "number" ? along.at(value) : off) };
      }
      const choices = one?.choices.length ? one.choices : [...new Set(values.filter((value) => value !== null))];
      const along = levels(choices, box.bottom, box.top);
      return {
        gaps,
        ends: [valueText(choices[0]), valueText(choices.at(-1))],
        at: (value) => (choices.includes(value) ? along.at(choices.indexOf(value)) : off),
      };
    }
  }

  function label(svg, x, name, [low, high], step, box) {
    svg.append(s("line", { class: "axis", x1: x, x2: x, y1: box.top, y2: box.bottom }));
    const title = clipped(name, step - 8);
    svg.append(s("text", { class: "name", x, y: 14, "text-anchor": "middle" }, title, title === name ? null : s("title", {}, name)));
    svg.append(s("text", { x, y: 34, "text-anchor": "middle" }, clipped(high, step - 8)));
    svg.append(s("text", { x, y: box.bottom + 38, "text-anchor": "middle" }, clipped(low, step - 8)));
  }

  const slider = h("input", { type: "range", min: 1, max: 100, value: state.keep, step: 1 });
  slider.addEventListener("input", () => {
    state.keep = Number(slider.value);
    redraw();
  });
  host.append(
    controls(
      radios(
        "Budget",
        rungs.map((rung) => [rung, study.labels[rung]]),
        state.rung,
        (rung) => {
          state.rung = Number(rung);
          redraw();
        },
      ),
      choice(
        "Hyperparameters",
        [4, 8, 12, 16]
          .filter((n) => n < names.length)
          .concat(names.length)
          .map((n) => [n, `the first ${n}`]),
        state.n,
        (n) => {
          state.n = Number(n);
          redraw();
        },
      ),
      h("label", { class: "control" }, h("span", {}, "Keep the lowest losses"), slider, told),
    ),
  );
  const redraw = plot(host, "Configurations from axis to axis", draw);
  host.append(
    key([null, `Darker: lower losses; thick: the incumbent; grey: not kept, at most ${LINES} of them. A narrow page has fewer axes.`]),
  );
  return undefined;
});
