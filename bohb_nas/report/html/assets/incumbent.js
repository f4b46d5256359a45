// The incumbent: the way to it, how it learned, and who stands beside it.

chart("ablation", (host, chosen) => {
  const study = STUDIES[chosen];
  const { ablation } = study;
  if (ablation === null) return;
  const label = study.labels[study.budgets.indexOf(ablation.budget)];
  const text = (loss) => lossText(study, loss);
  const change = (step) => step.names.map((name) => `${name}: ${valueText(step.before[name])} → ${valueText(step.after[name])}`);
  const items = [
    { name: ablation.start, loss: ablation.loss, spread: ablation.spread, lines: [ablation.start] },
    ...ablation.steps.map((step) => ({
      name: change(step)[0] + (step.names.length > 1 ? ` and ${step.names.length - 1} more` : ""),
      loss: step.loss,
      spread: step.spread,
      lines: change(step),
    })),
  ].map(({ name, loss, spread, lines }) => ({
    name,
    parts: [
      {
        value: loss,
        low: spread[0],
        high: spread[1],
        series: 0,
        faded: false,
        lines: [`predicted loss ${text(loss)}`, ...lines.slice(0, 8), `over trees ${text(spread[0])} to ${text(spread[1])}`],
      },
    ],
  }));
  const ends = range(items.flatMap((item) => [item.parts[0].value, item.parts[0].low, item.parts[0].high]));
  const slack = (ends[1] - ends[0]) * 0.03;
  host.append(
    h("h3", {}, `From ${ablation.start} to the incumbent`),
    h(
      "p",
      { class: "note" },
      "At each step the change that lowers the predicted loss most. The forest predicts; nothing here was trained.",
    ),
  );
  dots(host, "The way to the incumbent", {
    items,
    format: text,
    tickFormat: null,
    ends: [ends[0] - slack, ends[1] + slack],
    reference: null,
    title: `predicted loss at ${label}; whiskers: spread over trees`,
    join: true,
    summary: `Predicted loss from ${text(ablation.loss)} to ${text(items.at(-1).parts[0].value)} in ${ablation.steps.length} steps.`,
  });
});

const PLACES = ["seconds", "step"];

chart("learning", (host, chosen) => {
  const { incumbent } = STUDIES[chosen];
  if (incumbent === null || !incumbent.curve.length) return;
  const { curve } = incumbent;
  const all = [...new Set(curve.flatMap((point) => Object.keys(point)))];
  const places = PLACES.filter((name) => curve.every((point) => point[name] !== undefined));
  const measures = all.filter((name) => !PLACES.includes(name));
  if (!places.length || !measures.length) return;
  // Errors share a scale; everything else is shown by itself.
  const errors = measures.filter((name) => name.endsWith("error"));
  const kinds = [
    ...(errors.length ? [["errors", errors]] : []),
    ...measures.filter((name) => !errors.includes(name)).map((name) => [name, [name]]),
  ];
  const state = { kind: kinds[0][0], place: places[0], log: false };
  const legend = h("div");

  function draw(svg, width) {
    const height = 300;
    const shown = kinds.find(([name]) => name === state.kind)[1];
    const values = shown.flatMap((name) => curve.map((point) => point[name]));
    const y = scale(state.log, range(values), height - 46, 30, { pad: 0.04 });
    const box = inner(width, height, y);
    const xs = curve.map((point) => point[state.place]);
    const { unit, size } = state.place === "seconds" ? timeTicks(range(xs)[1]) : { unit: null, size: 1 };
    const x = linear([0, range(xs)[1] / size], box.left, box.right);
    axes(svg, box, x, y, {
      xTitle: unit === null ? state.place : `time in training (${unit})`,
      yTitle: shown.join(", ").replaceAll("_", " "),
    });
    const points = [];
    const lines = [];
    shown.forEach((name, n) => {
      const some = curve.filter((point) => Number.isFinite(point[name]) && (!state.log || range(values)[0] <= 0 || point[name] > 0));
      const place = some.map((point) => [x.at(point[state.place] / size), y.at(point[name])]);
      svg.append(s("path", { class: `line series-${n % COLOURS}`, d: path(place) }));
      if (some.length < 80)
        svg.append(s("path", { class: `mark series-${n % COLOURS}`, d: place.map(([px, py]) => mark(n, px, py, 2.5)).join("") }));
      some.forEach((point, k) => {
        points.push(place[k]);
        lines.push([
          `${name} ${number(point[name])}`,
          ...places.map((one) => (one === "seconds" ? `after ${duration(point[one])}` : `step ${point[one]}`)),
        ]);
      });
    });
    legend.replaceChildren(key(...shown.map((name, n) => [swatch(n), name.replaceAll("_", " ")])));
    const last = curve.at(-1);
    return {
      height,
      points,
      describe: (k) => lines[k],
      summary: shown.map((name) => `${name} ${number(last[name])} at the end`).join("; "),
    };
  }

  const set = (name) => (value) => {
    state[name] = name === "log" ? value === "log" : value;
    redraw();
  };
  host.append(
    h("h3", {}, "Learning curve"),
    controls(
      choice(
        "Measure",
        kinds.map(([name]) => [name, name.replaceAll("_", " ")]),
        state.kind,
        set("kind"),
      ),
      places.length > 1
        ? radios(
            "Over",
            places.map((name) => [name, name === "step" ? "steps" : "time"]),
            state.place,
            set("place"),
          )
        : null,
      radios(
        "Scale",
        [
          ["linear", "linear"],
          ["log", "log"],
        ],
        "linear",
        set("log"),
      ),
    ),
  );
  const redraw = plot(host, "Learning curve of the incumbent", draw);
  host.append(legend);
});

chart("comparison", (host, chosen) => {
  for (const one of STUDIES[chosen].comparisons) compared(host, one);
});

function compared(host, comparison) {
  const rows = comparison.rows.filter((one) => one.error !== null);
  if (!rows.length) return;
  const items = rows.map((one) => {
    const [low, high] = one.seed_interval ?? [null, null];
    const lines = [
      `${one.name}: ${errorText(one.error)}`,
      counted(one.n_seeds, "seed"),
      ...(one.seed_interval ? [`95 % over seeds ${errorText(low)} to ${errorText(high)}`] : []),
      ...(one.p_holm === null ? [] : [`against the incumbent: p ${number(one.p_holm)} (Holm)`]),
    ];
    return { name: one.name, parts: [{ value: one.error, low, high, series: one.kind === "incumbent" ? 1 : 0, faded: false, lines }] };
  });
  const ends = range(items.flatMap((item) => [item.parts[0].value, item.parts[0].low, item.parts[0].high]));
  const slack = (ends[1] - ends[0]) * 0.05;
  dots(host, `${comparison.measured} error beside hand-designed networks`, {
    items,
    ends: [Math.max(0, ends[0] - slack), ends[1] + slack],
    reference: null,
    format: errorText,
    tickFormat: perCent,
    title: `${comparison.measured} error`,
    summary: items.map((item) => `${item.name} ${errorText(item.parts[0].value)}`).join("; "),
  });
}
