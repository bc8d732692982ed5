// What the reader chose, and the same as the address of the page: a view can be shared, and comes back on reload.

const FACETS = ["regularizer", "model", "prepare", "decide", "scm", "attack", "radius", "experiment", "source", "sensitive"];
const NONE = "none"; // a facet that a setting lacks
const CHIPS = 12; // values of a radius above which it is a range

const START = {
  x: held.axes[0],
  y: held.axes[1],
  seeds: RUNS > SETTINGS ? "mean" : "runs",
  bars: RUNS <= 400,
  points: POINTS > 0 && POINTS <= 2000,
  off: {}, // facet -> values that are left out; at first all sources of data but one, as none compares with another
  range: null, // radii [from, to]
  needs: [], // {key, sign, value}: at least (+1) or at most (-1)
  objective: [...held.axes, ...METRIC.keys()].find((key) => directionOf(key) !== 0) || held.axes[0],
  zoom: null, // the part of the axes that is shown: [from, to] of x, then of y
  pick: null, // the name of the mark whose record is shown
  sort: null, // {by, falling}
  page: 0,
  theme: null,
};

/** The value of a facet of a setting as a text. */
function facetOf(name, setting) {
  const value = settings.facet(name)[setting];
  return value === null ? NONE : String(value);
}

/** The values of a facet in order, numbers by size, with the number of runs of each. */
const valuesOfFacet = remembered((name) => {
  const counts = new Map();
  for (const setting of runs.setting) {
    const value = facetOf(name, setting);
    counts.set(value, (counts.get(value) || 0) + 1);
  }
  const order = (a, b) => (a === NONE) - (b === NONE) || (name === "radius" ? a - b : a < b ? -1 : a > b ? 1 : 0);
  return Array.from(counts).sort((a, b) => order(a[0], b[0]));
});

/** Leave one source of data, and the runs that do not tell theirs. */
function sourcesBut(one) {
  const others = sourcesOfData().filter((source) => source !== one);
  return others.length ? { source: new Set(others) } : {};
}

function sourcesOfData() {
  return valuesOfFacet("source")
    .map(([value]) => value)
    .filter((value) => value !== NONE);
}

if (held.source) START.off = sourcesBut(held.source);
const state = structuredClone(START);

/** The facets that tell runs apart; that of the regularizers always, as it is the legend. */
const usedFacets = FACETS.filter((name) => name === "regularizer" || valuesOfFacet(name).length > 1);

function isRange(facet) {
  return facet === "radius" && valuesOfFacet("radius").length > CHIPS;
}

function passes(setting) {
  for (const facet of usedFacets) {
    const off = state.off[facet];
    if (off && off.has(facetOf(facet, setting))) return false;
  }
  if (!state.range) return true;
  const radius = settings.facet("radius")[setting];
  return radius !== null && radius >= state.range[0] && radius <= state.range[1];
}

const NEED = /^(.+?)(<=|>=)(-?[\d.]+(?:e[+-]?\d+)?)$/i;

/** The part of the address that says what differs from the start. */
function toHash() {
  const words = new URLSearchParams();
  for (const key of ["x", "y", "seeds", "objective", "pick", "theme"]) {
    if (state[key] !== START[key] && state[key] !== null) words.set(key, state[key]);
  }
  for (const key of ["bars", "points"]) if (state[key] !== START[key]) words.set(key, state[key] ? "1" : "0");
  for (const facet of usedFacets) {
    const [off, first] = [state.off, START.off].map((of) => Array.from(of[facet] || []).sort());
    if (off.join("\n") === first.join("\n")) continue;
    for (const value of off.length ? off : [""]) words.append(`off.${facet}`, value); // none: not even what is at first
  }
  if (state.range) words.set("range", state.range.join(".."));
  if (state.zoom) words.set("zoom", state.zoom.map((end) => Number(end.toPrecision(6))).join(".."));
  for (const need of state.needs) words.append("need", `${need.key}${need.sign > 0 ? ">=" : "<="}${need.value}`);
  if (state.sort) words.set("sort", (state.sort.falling ? "-" : "") + state.sort.by);
  if (state.page) words.set("page", state.page);
  return words.toString();
}

/** Take what an address says; words that mean nothing here are left out. */
function fromHash(hash) {
  const words = new URLSearchParams(hash.replace(/^#/, ""));
  Object.assign(state, structuredClone(START));
  for (const key of ["x", "y", "objective"]) if (METRIC.has(words.get(key))) state[key] = words.get(key);
  if (["runs", "mean"].includes(words.get("seeds"))) state.seeds = words.get("seeds");
  if (["light", "dark"].includes(words.get("theme"))) state.theme = words.get("theme");
  for (const key of ["bars", "points"]) if (words.has(key)) state[key] = words.get(key) === "1";
  for (const facet of usedFacets) {
    const known = new Set(valuesOfFacet(facet).map(([value]) => value));
    const off = words.getAll(`off.${facet}`).filter((value) => known.has(value));
    if (words.has(`off.${facet}`)) delete state.off[facet];
    if (off.length) state.off[facet] = new Set(off);
  }
  const range = (words.get("range") || "").split("..").map(Number);
  if (words.has("range") && range.length === 2 && range.every(Number.isFinite)) state.range = range;
  for (const text of words.getAll("need")) {
    const found = NEED.exec(text);
    if (found && METRIC.has(found[1]) && isOfTestRows(found[1])) {
      state.needs.push({ key: found[1], sign: found[2] === ">=" ? 1 : -1, value: Number(found[3]) });
    }
  }
  const zoom = (words.get("zoom") || "").split("..").map(Number);
  if (zoom.length === 4 && zoom.every(Number.isFinite) && zoom[0] < zoom[1] && zoom[2] < zoom[3]) state.zoom = zoom;
  state.pick = words.get("pick");
  const sort = words.get("sort");
  if (sort) state.sort = { by: sort.replace(/^-/, ""), falling: sort.startsWith("-") };
  state.page = Math.max(0, Number.parseInt(words.get("page") || "0", 10) || 0);
}
