// How much each hyperparameter explains at a budget, of one study or of several beside each other, and the strongest pairs.

const MEASURES = [
  ["with_parents", "with parents"],
  ["main", "alone"],
  ["total", "all its effects"],
  ["when_active", "where it is active"],
];
const FEW = 12;

function analyses(study) {
  return study.importance.map((one, k) => [k, one.budget === null ? "all budgets" : study.labels[one.budget]]);
}

// The highest budget that claims something about anything; else the last one.
function telling(study) {
  const budgets = study.importance.filter((one) => one.budget !== null);
  const found = budgets.findLast((one) => one.refused === null && one.parameters.some((p) => p.claimed));
  return study.importance.indexOf(found ?? budgets.findLast((one) => one.refused === null) ?? budgets.at(-1));
}

chart("importance", (host, chosen) => {
  const study = STUDIES[chosen];
  if (!study.importance.length) return;
  const state = { which: telling(study), measure: "with_parents", good: false, all: false, others: new Set() };
  const figure = h("div");
  const remark = h("p", { class: "note" });

  // The same budget in another study, by its label.
  function of(index) {
    const one = study.importance[state.which];
    const label = one.budget === null ? null : study.labels[one.budget];
    return STUDIES[index].importance.find((other) => (other.budget === null ? null : STUDIES[index].labels[other.budget]) === label);
  }

  function parameters(one) {
    return state.good ? (one?.good?.parameters ?? []) : (one?.parameters ?? []);
  }

  function items() {
    const studies = [chosen, ...state.others].filter((index) => of(index) !== undefined);
    const found = studies.map((index) => new Map(parameters(of(index)).map((p) => [p.name, p])));
    const names = [...new Set(found.flatMap((map) => [...map.keys()]))];
    const size = (name) => Math.max(...found.map((map) => map.get(name)?.[state.measure] ?? -1));
    names.sort((a, b) => size(b) - size(a));
    const kept = names.filter((name) => size(name) >= 0).slice(0, state.all ? names.length : FEW);
    return kept.map((name) => ({ name, parts: studies.map((index, k) => part(index, found[k].get(name))) }));
  }

  function part(index, p) {
    if (p === undefined || p[state.measure] === null) return { value: null, series: index, faded: true };
    const [low, high] = state.measure === "with_parents" ? p.spread : [null, null];
    const lines = [
      `${p.name}: ${share(p[state.measure])}`,
      ...(STUDIES.length > 1 ? [STUDIES[index].name] : []),
      p.claimed ? "beyond what chance reaches" : "nothing claimed: chance reaches as much",
      `alone ${share(p.main)}, with parents ${share(p.with_parents)}, in all ${share(p.total)}`,
      p.p_active < 1 ? `active in ${share(p.p_active)} of the space and ${p.n_active} observations` : `${p.n_active} observations`,
      ...(p.when_active === null ? [] : [`where active ${share(p.when_active)}`]),
    ];
    return { value: p[state.measure], low, high, series: index, faded: !p.claimed, lines };
  }

  function draw(svg, width) {
    const rows = items();
    const one = of(chosen);
    const threshold = state.measure === "with_parents" ? (state.good ? one.good : one).threshold : null;
    const top = Math.max(0.01, threshold ?? 0, ...rows.flatMap((row) => row.parts.flatMap((p) => [p.value ?? 0, p.high ?? 0])));
    const drawn = rowChart(svg, width, {
      items: rows,
      ends: [0, Math.min(1, top * 1.04)],
      bars: true,
      format: share,
      tickFormat: perCent,
      reference: threshold,
      referenceText: threshold === null ? "" : `chance reaches ${share(threshold)}`,
      title: `share of the variance of the loss, ${MEASURES.find(([name]) => name === state.measure)[1]}`,
    });
    const claimed = rows.filter((row) => !row.parts[0].faded).map((row) => `${row.name} ${share(row.parts[0].value)}`);
    return { ...drawn, summary: claimed.length ? `Claimed: ${claimed.join(", ")}.` : "Nothing is claimed." };
  }

  function refresh() {
    const one = of(chosen);
    const rest = [];
    for (const index of state.others) if (of(index) === undefined) rest.push(`${STUDIES[index].name} has no such budget.`);
    const facts =
      one.refused !== null
        ? []
        : [
            `${one.n} observations`,
            `out-of-bag R² ${number(one.oob_r2)}`,
            ...(state.good && one.good
              ? [
                  `losses above ${lossText(study, one.good.cutoff)} count as ${lossText(study, one.good.cutoff)} (${one.good.rule})`,
                  `${one.good.n_below} are not above it`,
                ]
              : []),
          ];
    remark.replaceChildren([facts.join(" · "), one.selected, ...rest].filter(Boolean).join(" — "));
    if (one.refused !== null) return figure.replaceChildren(refusal(one.refused));
    if (!parameters(one).length) return figure.replaceChildren(refusal("Nothing to show of the loss cut off at this budget."));
    figure.replaceChildren();
    plot(figure, "Importance of hyperparameters", draw);
    return undefined;
  }

  const set =
    (name, turn = (value) => value) =>
    (value) => {
      state[name] = turn(value);
      refresh();
    };
  const most = Math.max(...study.importance.map((one) => one.parameters.length));
  host.append(
    controls(
      radios("Budget", analyses(study), state.which, set("which", Number)),
      choice("Share", MEASURES, state.measure, set("measure")),
      study.importance.some((one) => one.good)
        ? radios(
            "Losses",
            [
              ["all", "as they are"],
              ["good", "cut off: what makes configurations good, and better"],
            ],
            "all",
            set("good", (value) => value === "good"),
          )
        : null,
      most > FEW
        ? radios(
            "Show",
            [
              ["few", `the first ${FEW}`],
              ["all", `all ${most}`],
            ],
            "few",
            set("all", (value) => value === "all"),
          )
        : null,
      STUDIES.length > 1
        ? ticks(
            "Beside it",
            STUDIES.map((other, k) =>
              k === chosen
                ? null
                : tick(other.name, false, (on) => (on ? state.others.add(k) : state.others.delete(k), refresh()), swatch(k, 1)),
            ),
          )
        : null,
    ),
    remark,
    figure,
  );
  refresh();
});

chart("pairs", (host, chosen) => {
  const study = STUDIES[chosen];
  const some = [...study.importance.keys()].filter((k) => study.importance[k].pairs.length);
  if (!some.length) return;
  const first = some.includes(telling(study)) ? telling(study) : some.at(-1);
  const figure = h("div");
  const show = (which) => {
    const { threshold } = study.importance[which];
    const pairs = study.importance[which].pairs.slice(0, 8);
    figure.replaceChildren();
    plot(figure, "Strongest interactions of two hyperparameters", (svg, width) => {
      const items = pairs.map((pair) => ({
        name: pair.names.join(" × "),
        parts: [
          {
            value: pair.share,
            low: pair.spread[0],
            high: pair.spread[1],
            series: chosen,
            faded: threshold !== null && pair.share <= threshold,
            lines: [
              `${pair.names.join(" × ")}: ${share(pair.share)}`,
              `spread over trees ${share(pair.spread[0])} to ${share(pair.spread[1])}`,
            ],
          },
        ],
      }));
      const top = Math.max(0.01, threshold ?? 0, ...pairs.map((pair) => Math.max(pair.share, pair.spread[1])));
      const drawn = rowChart(svg, width, {
        items,
        ends: [0, Math.min(1, top * 1.04)],
        bars: true,
        format: share,
        tickFormat: perCent,
        reference: threshold,
        referenceText: threshold === null ? "" : `chance reaches ${share(threshold)}`,
        title: "share of the variance of the loss, without main effects",
      });
      return { ...drawn, summary: `Strongest: ${pairs[0].names.join(" and ")}, ${share(pairs[0].share)}.` };
    });
  };
  const names = analyses(study);
  host.append(
    h("h3", {}, "Interactions"),
    controls(
      radios(
        "Budget",
        some.map((k) => names[k]),
        first,
        (k) => show(Number(k)),
      ),
    ),
    figure,
  );
  show(first);
});
