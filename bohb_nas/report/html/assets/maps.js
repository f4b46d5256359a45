// The mean loss over two hyperparameters at a time.

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
  const start = Math.max(
    0,
    found.findIndex(({ k }) => k === telling(study)),
  );
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
      svg.append(
        s("rect", {
          class: `shade shade-${shade(mean[i][j])}`,
          x: round(x),
          y: round(y),
          width: round(side[0] + 0.4),
          height: round(side[1] + 0.4),
        }),
      );
      points.push([x + side[0] / 2, y + side[1] / 2]);
      lines.push([
        `mean loss ${lossText(study, mean[i][j])}`,
        `${pair.names[0]} = ${valueText(a)}`,
        `${pair.names[1]} = ${valueText(b)}`,
        `at ${where}`,
      ]);
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
  legend(svg, width, study, lo, hi);
  return {
    height,
    points,
    describe: (k) => lines[k],
    reach: Math.hypot(...side),
    summary: `Mean loss from ${lossText(study, lo)} to ${lossText(study, hi)}.`,
  };
}

function legend(svg, width, study, lo, hi) {
  const side = Math.min(14, (width - 150) / SHADES);
  const end = lossText(study, hi);
  const right = width - 8 - end.length * CHARACTER - 6;
  for (let k = 0; k < SHADES; k++)
    svg.append(s("rect", { class: `shade shade-${k}`, x: right - (SHADES - k) * side, y: 4, width: side, height: 12 }));
  svg.append(
    s("text", { x: right - SHADES * side - 6, y: 14, "text-anchor": "end" }, `mean loss ${lossText(study, lo)}`),
    s("text", { x: right + 6, y: 14 }, end),
  );
}
