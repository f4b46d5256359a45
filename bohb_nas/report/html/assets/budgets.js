// Budgets against each other, the model against chance, and hours as they add up.

function dots(host, name, { items, ends, reference, referenceText, format, tickFormat, title, join, log, summary }) {
  plot(host, name, (svg, width) => ({
    ...rowChart(svg, width, { items, ends, reference, referenceText, format, tickFormat, title, join, log }),
    summary,
  }));
}

chart("correlation", (host, chosen) => {
  const study = STUDIES[chosen];
  const label = (budget) => study.labels[study.budgets.indexOf(budget)] ?? number(budget);
  const found = new Map();
  [
    ["search", study.correlation],
    ["probes", study.probe],
  ].forEach(([who, some], series) => {
    for (const one of some) {
      if (one.spearman === null) continue;
      const name = `${label(one.low)} and ${label(one.high)}`;
      const [low, high] = one.interval ?? [null, null];
      const lines = [
        `Spearman ${number(one.spearman)}`,
        `${name}, by ${who}`,
        `${one.n} configurations`,
        ...(one.interval ? [`95 % ${number(low)} to ${number(high)}`] : []),
      ];
      const part = { value: one.spearman, low, high, series: series, faded: one.interval !== null && low <= 0 && high >= 0, lines };
      found.set(name, [...(found.get(name) ?? []), part]);
    }
  });
  if (!found.size) return;
  const items = [...found].map(([name, parts]) => ({ name, parts }));
  dots(host, "Rank correlation of budgets", {
    items,
    ends: [-1, 1],
    reference: 0,
    referenceText: "no relation",
    format: (value) => value.toFixed(2).replace("-", "−"),
    tickFormat: number,
    title: "Spearman's rank correlation, 95 % interval",
    summary: items.map((item) => `${item.name} ${number(item.parts[0].value)}`).join("; "),
  });
  const probed = study.probe.some((one) => one.spearman !== null);
  host.append(
    key([swatch(0), "by what the search trained"], ...(probed ? [[swatch(1), "by probes, which nobody selected"]] : []), [
      null,
      "grey: the interval holds 0",
    ]),
  );
});

const THREADS = 400; // more lines than these hide each other

chart("shapes", (host, chosen) => {
  const study = STUDIES[chosen];
  const { shapes } = study;
  if (!shapes.id.length) return;
  const used = [...new Set(shapes.budgets.flat())].sort((a, b) => a - b);
  const origins = [...new Set(shapes.origin)];
  const off = new Set();
  const { limit, log } = spread(shapes.losses.flat());
  const state = { log };
  const legend = h("div");
  const positive = shapes.losses.flat().every((loss) => loss > 0);

  function draw(svg, width) {
    const height = width < 560 ? 300 : 360;
    const seen = [...shapes.id.keys()].filter((k) => !off.has(shapes.origin[k]));
    const inside = (k) => shapes.losses[k].every((loss) => loss <= limit);
    const near = seen.filter(inside);
    const shown = thinned(near, THREADS);
    const y = scale(state.log, range(shown.flatMap((k) => shapes.losses[k])), height - 46, 30, { pad: 0.04 });
    const box = inner(width, height, y);
    const x = {
      ...levels(
        used.map((rung) => study.labels[rung]),
        box.left,
        box.right,
      ),
      levels: true,
    };
    axes(svg, box, x, y, { xTitle: "budget", yTitle: "loss" });
    const points = [];
    const which = [];
    const line = (k) => path(shapes.losses[k].map((loss, j) => [x.at(used.indexOf(shapes.budgets[k][j])), y.at(loss)]));
    origins.forEach((origin, n) => {
      const some = shown.filter((k) => shapes.origin[k] === origin);
      svg.append(s("path", { class: `thread series-${n % COLOURS}`, d: some.map(line).join("") }));
    });
    const best = study.incumbent === null ? -1 : shapes.id.indexOf(study.incumbent.config_id);
    if (near.includes(best)) svg.append(s("path", { class: "incumbent alone", d: line(best) }));
    for (const k of shown) {
      shapes.losses[k].forEach((loss, j) => {
        points.push([x.at(used.indexOf(shapes.budgets[k][j])), y.at(loss)]);
        which.push([k, j]);
      });
    }
    const describe = (n) => {
      const [k, j] = which[n];
      return [
        `loss ${lossText(study, shapes.losses[k][j])}`,
        `configuration ${shapes.id[k]}, ${shapes.origin[k]}`,
        `budget ${study.labels[shapes.budgets[k][j]]}`,
      ];
    };
    const far = seen.length - near.length;
    return { height, points, describe, summary: told(shown.length, near.length, far) };
  }

  function told(n, near, far) {
    const text = `${n} of ${counted(near, "configuration")} with a loss at several budgets${far ? `; ${far} with far losses are left out` : ""}.`;
    legend.replaceChildren(key([null, text], [null, "Thick line: the incumbent's."]));
    return text;
  }

  const flip = (origin) => (on) => {
    if (on) off.delete(origin);
    else off.add(origin);
    redraw();
  };
  host.append(
    h("h3", {}, "The same configurations from budget to budget"),
    controls(
      ticks(
        "First asked as",
        origins.map((origin, n) => tick(origin, true, flip(origin), swatch(n))),
      ),
      positive
        ? radios(
            "Loss",
            [
              ["linear", "linear"],
              ["log", "log"],
            ],
            state.log ? "log" : "linear",
            (value) => {
              state.log = value === "log";
              redraw();
            },
          )
        : null,
    ),
  );
  const redraw = plot(host, "Loss by budget", draw);
  host.append(legend);
});

chart("model", (host, chosen) => {
  const study = STUDIES[chosen];
  const items = study.model
    .filter((one) => one.better !== null)
    .map((one) => {
      const [low, high] = one.interval ?? [null, null];
      const lines = [
        `model better in ${share(one.better)} of pairs`,
        `${one.n_model} of the model, ${one.n_random} random`,
        `medians ${number(one.median_model)} and ${number(one.median_random)}`,
        `p ${number(one.p_holm)} (Holm)`,
      ];
      const label = study.labels[study.budgets.indexOf(one.budget)];
      return { name: label, parts: [{ value: one.better, low, high, series: 0, faded: one.p_holm === null || one.p_holm > 0.05, lines }] };
    });
  if (!items.length) return;
  const summary = items.map((item) => `${item.name}: ${share(item.parts[0].value)}`).join("; ");
  dots(host, "The model's picks against random ones", {
    items,
    ends: [0, 1],
    reference: 0.5,
    referenceText: "no difference",
    format: share,
    tickFormat: perCent,
    title: "how often the model's pick has the lower loss, 95 % interval",
    summary,
  });
});

chart("hours", (host, chosen) => {
  const study = STUDIES[chosen];
  const some = study.hours.filter((one) => one.times.length);
  if (!some.length) return;
  plot(host, "Device hours by budget", (svg, width) => {
    const height = 300;
    const end = range(some.flatMap((one) => one.times))[1];
    const { unit, size } = timeTicks(end);
    const y = linear([0, range(some.flatMap((one) => one.hours))[1]], height - 46, 30);
    const box = inner(width, height, y);
    const x = linear([0, end / size], box.left, box.right);
    axes(svg, box, x, y, { xTitle: `time since the first ask (${unit})`, yTitle: "device hours" });
    const points = [];
    const lines = [];
    for (const one of some) {
      const place = one.times.map((time, k) => [x.at(time / size), y.at(one.hours[k])]);
      svg.append(s("path", { class: `line series-${one.budget % COLOURS}`, d: steps([[x.at(0), y.at(0)], ...place], box.right) }));
      place.forEach((point, k) => {
        points.push(point);
        lines.push([`${number(one.hours[k])} device hours`, `at ${study.labels[one.budget]}`, `after ${duration(one.times[k])}`]);
      });
    }
    const summary = some.map((one) => `${study.labels[one.budget]}: ${number(one.hours.at(-1))} device hours`).join("; ");
    return { height, points, describe: (k) => lines[k], summary };
  });
  host.append(key(...some.map((one) => [swatch(one.budget, 1), study.labels[one.budget]])));
});
