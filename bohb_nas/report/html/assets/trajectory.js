// Every evaluation over time, and the incumbent's line; several studies on top of each other.

function runs(study, index) {
  return study.trajectory.map((k) => ({
    study: index,
    k,
    rung: study.trials.budget[k],
    budget: study.labels[study.trials.budget[k]],
    time: study.trials.told[k],
    loss: study.trials.loss[k],
    violates: study.trials.violates[k],
  }));
}

chart("trajectory", (host, chosen) => {
  const several = STUDIES.length > 1;
  const all = STUDIES.flatMap(runs);
  if (!all.length) return host.append(refusal("No evaluation of the search has ended well yet."));
  // By their labels: studies may count their budgets in different units.
  const sizes = new Map(all.map((run) => [run.budget, STUDIES[run.study].budgets[run.rung]]));
  const budgets = [...sizes.keys()].sort((a, b) => sizes.get(a) - sizes.get(b));
  const shown = new Set(budgets);
  const studies = new Set(STUDIES.keys());
  const { limit, log } = spread(all.map((run) => run.loss));
  const positive = all.every((run) => run.loss > 0);
  const state = { logLoss: log, logTime: false, outliers: false };

  function draw(svg, width) {
    const height = width < 560 ? 340 : 420;
    const seen = all.filter((run) => shown.has(run.budget) && studies.has(run.study) && (state.outliers || run.loss <= limit));
    const end = range(all.map((run) => run.time))[1];
    const { unit, size } = timeTicks(end);
    const y = scale(state.logLoss, range(seen.map((run) => run.loss)), height - 46, 30, { pad: 0.04 });
    const box = inner(width, height, y);
    const first = range(all.filter((run) => run.time > 0).map((run) => run.time / size))[0];
    const x = scale(state.logTime, state.logTime ? [first, end / size] : [0, end / size], box.left, box.right);
    const place = (run) => [x.at(Math.max(run.time / size, state.logTime ? first : 0)), y.at(run.loss)];
    axes(svg, box, x, y, { xTitle: `time since the first ask (${unit})`, yTitle: "loss" });
    const points = seen.map(place);
    for (const study of studies) {
      budgets.forEach((budget, b) => {
        if (!shown.has(budget)) return;
        const some = seen.map((run, k) => [run, points[k]]).filter(([run]) => run.study === study && run.budget === budget);
        const series = `series-${(several ? study : b) % COLOURS}`;
        svg.append(
          s("path", {
            class: `${series} mark cloud`,
            d: some.map(([, [px, py]]) => mark(b, px, py, some.length > 1500 ? 1.8 : 3)).join(""),
          }),
        );
        let least = Infinity;
        const best = some.filter(([run]) => (!run.violates && run.loss < least ? ((least = run.loss), true) : false));
        if (!several)
          svg.append(
            s("path", {
              class: `${series} best`,
              d: steps(
                best.map(([, point]) => point),
                box.right,
              ),
            }),
          );
      });
      const line = incumbents(study).filter((run) => shown.has(run.budget) && (state.outliers || run.loss <= limit));
      svg.append(
        s("path", { class: `incumbent series-${study % COLOURS}${several ? "" : " alone"}`, d: steps(line.map(place), box.right) }),
      );
    }
    const best = incumbents(chosen).at(-1);
    const left = all.length - seen.length;
    const leader = best ? ` Incumbent: loss ${lossText(STUDIES[chosen], best.loss)} at ${best.budget}.` : "";
    const summary = `${counted(seen.length, "evaluation")}${left ? `, ${left} not shown` : ""}.${leader}`;
    return { height, points, describe: (k) => lines(seen[k]), summary };
  }

  function incumbents(index) {
    const study = STUDIES[index];
    return study.incumbents.map((k) => ({
      study: index,
      k,
      budget: study.labels[study.trials.budget[k]],
      time: study.trials.told[k],
      loss: study.trials.loss[k],
    }));
  }

  function lines(run) {
    const { trials } = STUDIES[run.study];
    const name = several ? [STUDIES[run.study].name] : [];
    return [
      `loss ${lossText(STUDIES[run.study], run.loss)}`,
      ...name,
      `trial ${trials.id[run.k]}, ${trials.origin[run.k]}`,
      `budget ${run.budget}`,
      `after ${duration(run.time)}`,
    ];
  }

  const flip = (set, one) => (on) => {
    if (on) set.add(one);
    else set.delete(one);
    redraw();
  };
  const set = (name, value) => (one) => {
    state[name] = value === undefined ? one : one === value;
    redraw();
  };
  const beyond = all.filter((run) => run.loss > limit).length;
  host.append(
    controls(
      ticks(
        "Budgets",
        budgets.map((budget, b) => tick(budget, true, flip(shown, budget), several ? swatch(null, b) : swatch(b))),
      ),
      several
        ? ticks(
            "Studies",
            STUDIES.map((study, k) => tick(study.name, true, flip(studies, k), swatch(k, 1))),
          )
        : null,
      positive
        ? radios(
            "Loss",
            [
              ["linear", "linear"],
              ["log", "log"],
            ],
            state.logLoss ? "log" : "linear",
            set("logLoss", "log"),
          )
        : null,
      radios(
        "Time",
        [
          ["linear", "linear"],
          ["log", "log"],
        ],
        "linear",
        set("logTime", "log"),
      ),
      beyond ? ticks("Far losses", tick(`${beyond} above ${lossText(STUDIES[chosen], limit)}`, false, set("outliers"))) : null,
    ),
  );
  const redraw = plot(host, "Loss of every evaluation over time", draw);
  host.append(
    key([
      null,
      several ? "Lines: the incumbent of each study." : "Thick line: the incumbent. Thin lines: the lowest loss so far at each budget.",
    ]),
  );
  return undefined;
});
