// Rows with a name each, and a bar or a point with its interval on a common scale.

// `items`: [{ name, parts: [{ value, low, high, series, faded, lines }] }]; `bars` start at zero.
function rowChart(
  svg,
  width,
  {
    items,
    ends,
    bars = false,
    format = number,
    tickFormat = format,
    reference = null,
    referenceText = "",
    title,
    join = false,
    log = false,
  },
) {
  const longest = Math.max(...items.map((item) => item.name.length));
  const beside = longest * CHARACTER + 14 <= width * 0.36;
  const nameWidth = beside ? longest * CHARACTER + 14 : 0;
  const several = Math.max(...items.map((item) => item.parts.length)) > 1;
  const values = items.flatMap((item) => item.parts.map((part) => format(part.value).length));
  const valueWidth = Math.max(...values) * CHARACTER + 8;
  const thick = several ? 12 : 14;
  const gap = several ? 5 : 3;
  const box = { left: nameWidth + 2, right: width - valueWidth - 10, top: reference === null ? 8 : 24 };
  const x = scale(log, ends, box.left, box.right, { format: tickFormat });
  const points = [];
  const lines = [];
  let y = box.top + 4;
  const path = [];
  for (const item of items) {
    const tall = item.parts.length * (thick + gap);
    if (!beside) y += 16;
    const label = clipped(item.name, beside ? nameWidth - 8 : width - 4);
    const faded = item.parts.every((part) => part.faded);
    svg.append(
      s(
        "text",
        { class: faded ? "name faded" : "name", x: 0, y: beside ? y + tall / 2 + 4 : y - 3 },
        label,
        label === item.name ? null : s("title", {}, item.name),
      ),
    );
    for (const part of item.parts) {
      const centre = y + thick / 2 + 1;
      if (part.value !== null) {
        row(svg, x, part, { bars, thick, centre, zero: x.at(Math.max(ends[0], 0)) });
        const end = box.right + 10;
        svg.append(s("text", { class: part.faded ? "value faded" : "value", x: end, y: centre + 4 }, format(part.value)));
        points.push([x.at(part.value), centre]);
        lines.push(part.lines);
        path.push([x.at(part.value), centre]);
      }
      y += thick + gap;
    }
    y += several ? 14 : beside ? 7 : 9;
  }
  const bottom = y + 2;
  const behind = [];
  let free = -Infinity;
  for (const [value, text] of x.ticks) {
    const at = round(x.at(value));
    behind.push(s("line", { class: "grid", x1: at, x2: at, y1: box.top, y2: bottom }));
    const half = (text.length * CHARACTER) / 2;
    if (at - half < free || at + half > width) continue;
    behind.push(s("text", { x: Math.max(at, half), y: bottom + 16, "text-anchor": "middle" }, text));
    free = at + half + 8;
  }
  if (reference !== null) {
    const at = round(x.at(reference));
    behind.push(s("line", { class: "reference", x1: at, x2: at, y1: box.top - 6, y2: bottom }));
    const half = (referenceText.length * CHARACTER) / 2;
    behind.push(
      s("text", { class: "title", x: Math.min(Math.max(at, half), width - half), y: 12, "text-anchor": "middle" }, referenceText),
    );
  }
  if (join) behind.push(s("path", { class: "way", d: path.map(([px, py], k) => `${k ? "L" : "M"}${round(px)} ${round(py)}`).join("") }));
  svg.prepend(...behind);
  svg.append(s("text", { class: "title", x: width, y: bottom + 34, "text-anchor": "end" }, clipped(title, width)));
  return { height: bottom + 40, points, describe: (k) => lines[k], down: true, reach: 40 };
}

function row(svg, x, part, { bars, thick, centre, zero }) {
  const group = s("g", { class: `series-${part.series % COLOURS}${part.faded ? " faded" : ""}` });
  const at = round(x.at(part.value));
  if (bars)
    group.append(
      s("rect", {
        class: "bar",
        x: Math.min(at, zero),
        y: centre - thick / 2,
        width: Math.max(1, Math.abs(at - zero)),
        height: thick,
        rx: 2,
      }),
    );
  if (part.low !== null && part.high !== null) {
    const [a, b] = [round(x.at(part.low)), round(x.at(part.high))];
    group.append(
      s("path", {
        class: bars ? "whisker over" : "whisker",
        d: `M${a} ${centre}H${b}M${a} ${centre - 4}V${centre + 4}M${b} ${centre - 4}V${centre + 4}`,
      }),
    );
  }
  if (!bars) group.append(s("path", { class: "mark", d: mark(part.shape ?? part.series, at, centre, 5) }));
  svg.append(group);
}
