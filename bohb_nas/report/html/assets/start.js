// Fills the page, and what concerns all of it: the study in view, the theme, the place in the navigation, printing.

function fill(chosen) {
  for (const [id, build] of CHARTS) {
    const host = document.getElementById(id);
    host.replaceChildren();
    build(host, chosen);
  }
  for (const part of document.querySelectorAll(".of-study"))
    part.hidden = Number(part.dataset.study) !== chosen && part.closest("#summary") === null;
}

function theme() {
  const options = [
    ["auto", "as the system"],
    ["light", "light"],
    ["dark", "dark"],
  ];
  const change = (value) => {
    if (value === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = value;
  };
  document.getElementById("theme").append(choice("Theme", options, "auto", change));
}

function navigation() {
  const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
  const seen = new Set();
  const watch = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (entry.isIntersecting) seen.add(entry.target.id);
        else seen.delete(entry.target.id);
      }
      const first = [...links.keys()].find((id) => seen.has(id));
      for (const [id, link] of links) {
        if (id === first) link.setAttribute("aria-current", "true");
        else link.removeAttribute("aria-current");
      }
      const bar = document.querySelector("nav ul");
      const link = links.get(first);
      if (link && bar.scrollWidth > bar.clientWidth) bar.scrollLeft = link.offsetLeft - bar.clientWidth / 2 + link.offsetWidth / 2;
    },
    { rootMargin: "-20% 0px -60% 0px" },
  );
  for (const id of links.keys()) watch.observe(document.getElementById(id));
}

function printing() {
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const one of closed) one.open = true;
  });
  addEventListener("afterprint", () => {
    for (const one of closed) one.open = false;
  });
}

document.getElementById("scriptless").hidden = true;
theme();
if (STUDIES.length > 1) {
  document.getElementById("choose-study").append(
    choice(
      "Study",
      STUDIES.map((study, k) => [k, study.name]),
      0,
      (k) => fill(Number(k)),
    ),
  );
}
fill(0);
navigation();
printing();
