// All trials as a table: sorted by any column, filtered by words and conditions, a page at a time.

const PAGE = 50;
const ORDER = new Intl.Collator("en", { numeric: true });
const SIGN = /^(?:<=|>=|!=|=|<|>)/;

chart("trials", (host, chosen) => {
  const study = STUDIES[chosen];
  const { trials } = study;
  const columns = [
    { name: "trial", of: (k) => trials.id[k] },
    { name: "loss", of: (k) => trials.loss[k], text: (k) => lossText(study, trials.loss[k]) },
    { name: "configuration", of: (k) => study.configs.id[trials.config[k]] },
    { name: "budget", of: (k) => study.budgets[trials.budget[k]], text: (k) => study.labels[trials.budget[k]] },
    { name: "status", of: (k) => trials.status[k], text: (k) => trials.status[k].replaceAll("_", " ") },
    { name: "origin", of: (k) => trials.origin[k] },
    { name: "bracket", of: (k) => trials.bracket[k] },
    { name: "told", of: (k) => trials.told[k], text: (k) => duration(trials.told[k]) },
    { name: "trained", of: (k) => trials.train_s[k], text: (k) => duration(trials.train_s[k]) },
    { name: "parameters", of: (k) => trials.params[k], text: (k) => count(trials.params[k]) },
    { name: "FLOPs", of: (k) => trials.flops[k], text: (k) => count(trials.flops[k]) },
    { name: "device", of: (k) => trials.device[k] },
  ].filter(
    (column) => trials.id.length === 0 || ["trial", "loss"].includes(column.name) || trials.id.some((_, k) => column.of(k) !== null),
  );
  const known = new Map(columns.map((column) => [column.name.toLowerCase(), column.of]));
  for (const [name, values] of study.configs.values) known.set(name.toLowerCase(), (k) => values[trials.config[k]]);
  const state = { words: "", status: "", budget: "", origin: "", sort: "told", down: false, page: 0, open: -1 };
  let rows = [];

  // Whether a trial fulfils a word of the filter: a condition such as `loss<0.2` or `optimizer=sgd`, or a part of what it is called.
  function condition(word) {
    // A name may have signs in it: the longest that is known counts.
    const end = [...Array(word.length).keys()].findLast((at) => SIGN.test(word.slice(at)) && known.has(word.slice(0, at)));
    if (end === undefined)
      return (k) =>
        [trials.id[k], study.configs.id[trials.config[k]], trials.status[k], trials.origin[k], trials.device[k], trials.message[k]].some(
          (text) => text !== null && text.toLowerCase().includes(word),
        );
    const of = known.get(word.slice(0, end));
    const [sign] = SIGN.exec(word.slice(end));
    const rest = word.slice(end + sign.length);
    const limit = Number(rest);
    return (k) => {
      const value = of(k);
      if (sign === "=" || sign === "!=")
        return (String(valueOrDash(value)).toLowerCase() === rest || (rest !== "" && value === limit)) === (sign === "=");
      if (typeof value !== "number" || rest === "" || Number.isNaN(limit)) return false;
      return sign === "<" ? value < limit : sign === ">" ? value > limit : sign === "<=" ? value <= limit : value >= limit;
    };
  }

  function filter() {
    const conditions = state.words.toLowerCase().split(/\s+/).filter(Boolean).map(condition);
    if (state.status) conditions.push((k) => trials.status[k] === state.status);
    if (state.budget !== "") conditions.push((k) => trials.budget[k] === Number(state.budget));
    if (state.origin) conditions.push((k) => trials.origin[k] === state.origin);
    rows = [...trials.id.keys()].filter((k) => conditions.every((holds) => holds(k)));
    const { of } = columns.find((column) => column.name === state.sort);
    const side = state.down ? -1 : 1;
    // What is not known comes last either way.
    rows.sort((a, b) => {
      const [x, y] = [of(a), of(b)];
      if (x === null || y === null) return (x === null) - (y === null) || a - b;
      return (typeof x === "number" ? x - y : ORDER.compare(x, y)) * side || a - b;
    });
    state.page = 0;
    state.open = -1;
    show();
  }

  const numeric = new Set(columns.filter((column) => [...trials.id.keys()].some((k) => typeof column.of(k) === "number")));
  const head = h("tr");
  const body = h("tbody");
  const told = h("p", { class: "note", role: "status" });
  const back = h("button", { type: "button" }, "Previous");
  const on = h("button", { type: "button" }, "Next");
  back.addEventListener("click", () => turn(-1));
  on.addEventListener("click", () => turn(1));

  function turn(by) {
    state.page += by;
    state.open = -1;
    show();
  }

  function show() {
    const from = state.page * PAGE;
    const seen = rows.slice(from, from + PAGE);
    head.replaceChildren(
      ...columns.map((column) => {
        const sorted = state.sort === column.name;
        const button = h(
          "button",
          { type: "button", "data-sort": column.name },
          column.name,
          sorted ? h("span", { "aria-hidden": "true" }, state.down ? " ↓" : " ↑") : null,
        );
        button.addEventListener("click", () => {
          state.down = sorted && !state.down;
          state.sort = column.name;
          filter();
          head.querySelector(`[aria-sort] button`).focus();
        });
        return h(
          "th",
          {
            scope: "col",
            class: numeric.has(column) ? null : "word",
            "aria-sort": sorted ? (state.down ? "descending" : "ascending") : null,
          },
          button,
        );
      }),
    );
    body.replaceChildren(...seen.flatMap((k) => [line(k), ...(k === state.open ? [full(k)] : [])]));
    told.textContent = rows.length
      ? `${rows.length} of ${counted(trials.id.length, "trial")}; ${from + 1} to ${from + seen.length} shown`
      : `None of ${counted(trials.id.length, "trial")}`;
    back.disabled = state.page === 0;
    on.disabled = from + PAGE >= rows.length;
  }

  function line(k) {
    const cells = columns.map((column, c) => {
      const value = column.of(k);
      const text = column.text?.(k) ?? (typeof value === "number" ? number(value) : valueOrDash(value));
      if (c > 0) return h("td", { class: numeric.has(column) ? null : "word" }, text);
      const button = h("button", { type: "button", class: "opener", "aria-expanded": String(k === state.open) }, text);
      button.addEventListener("click", () => {
        state.open = k === state.open ? -1 : k;
        show();
        body.querySelectorAll(".opener")[rows.indexOf(k) - state.page * PAGE].focus();
      });
      return h("th", { scope: "row", class: "word" }, button);
    });
    return h("tr", { class: trials.status[k] === "ok" ? null : "faded" }, cells);
  }

  function full(k) {
    const set = [...study.configs.values]
      .map(([name, values]) => [name, values[trials.config[k]]])
      .filter(([, value]) => value !== null && value !== undefined);
    const list = h(
      "dl",
      { class: "facts" },
      set.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, valueText(value)))),
    );
    const message = trials.message[k] === null ? null : h("pre", { class: "message" }, trials.message[k]);
    return h("tr", { class: "full" }, h("td", { colspan: columns.length }, h("div", {}, message, list)));
  }

  function valueOrDash(value) {
    return value === null || value === undefined ? NONE : String(value);
  }

  if (!trials.id.length) return host.append(refusal("No trial has been told yet."));
  const words = h("input", { type: "search", placeholder: "loss<0.2 optimizer=sgd", autocomplete: "off", spellcheck: "false" });
  words.addEventListener("input", () => {
    state.words = words.value;
    filter();
  });
  const set = (name) => (value) => {
    state[name] = value;
    filter();
  };
  const distinct = (column) => [["", "any"], ...[...new Set(column)].sort().map((one) => [one, String(one).replaceAll("_", " ")])];
  const rungs = [...new Set(trials.budget)].sort((a, b) => a - b).map((rung) => [rung, study.labels[rung]]);
  host.append(
    controls(
      h("label", { class: "control" }, h("span", {}, "Filter by words or conditions"), words),
      choice("Status", distinct(trials.status), "", set("status")),
      choice("Budget", [["", "any"], ...rungs], "", set("budget")),
      choice("Origin", distinct(trials.origin), "", set("origin")),
    ),
    told,
    h(
      "div",
      { class: "wide", tabindex: 0, role: "region", "aria-label": "Table of trials" },
      h("table", { class: "trials" }, h("caption", { class: "unseen" }, "All trials"), h("thead", {}, head), body),
    ),
    h("div", { class: "pages" }, back, on),
  );
  filter();
  return undefined;
});
