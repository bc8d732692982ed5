// What the reader chose, and the same as the address of the page: a view can be shared, and comes back on reload.

const FACETS = [
  "regularizer",
  "model",
  "prepare",
  "decide",
  "scm",
  "attack",
  "radius",
  "experiment",
  "source",
  "sensitive",
];
const NONE = "none"; // a facet that a setting lacks
const CHIPS = 12; // values of a radius above which it is a range

const PINS = 2; // marks that are kept side by side
const LIMIT = 0.1; // of a difference, at first
const OPERATING = ["none", "few", "all"]; // which operating points: none compete, few or all of those that do are drawn

let START;
const state = {};

/** What is shown at first. */
function firstState() {
  const directed = Array.from(METRIC.keys()).filter((key) => directionOf(key) && isOfTestRows(key));
  const objective = ["accuracy", ...held.axes, ...directed].find((key) => directed.includes(key)) || held.axes[0];
  const [x, y] = held.axes;
  return {
    x,
    y,
    seeds: RUNS > SETTINGS ? "mean" : "runs",
    bars: RUNS <= 400,
    points: POINTS ? "few" : "none",
    off: held.source ? sourcesBut(held.source) : {}, // facet -> values left out; no source of data compares with another
    range: null, // radii [from, to]
    needs: firstNeeds([y, x, ...directed.filter(isGap), ...directed].filter((key) => key !== objective)),
    objective,
    sure: false, // requirements are met by the whole interval of the run that is handed out
    zoom: null, // the part of the axes that is shown: [from, to] of x, then of y
    pick: null, // the name of the mark whose record is shown
    pins: [], // the names of at most two marks that stay side by side
    sort: null, // {by, falling}
    columns: null, // the metrics of the table; null are the axes, the question and the headlines
    page: 0,
    theme: null,
  };
}

/** The requirement of the dial: {key, sign, value}, at least (+1) or at most (-1), on the first metric that may be one. */
function firstNeeds(keys) {
  const key = keys.find((own) => directionOf(own) && isOfTestRows(own));
  return key ? [needOn(key)] : [];
}

function isGap(key) {
  return /_(gap|difference)(_by_.+)?$/.test(key);
}

/**
 * A requirement on a metric, in round numbers: .1 of a difference where that parts the runs, else the middle, which of a
 * single value is the next that it meets.
 */
function needOn(key) {
  const [low, high] = spanOf(key);
  const sign = directionOf(key) || -1;
  const common = isGap(key) && low <= LIMIT && LIMIT < high;
  const middle = low < high ? Number(((low + high) / 2).toPrecision(2)) : outwards(low, sign, 100);
  return { key, sign, value: common ? LIMIT : middle };
}

/** The next limit that a value meets, in so many parts of one. */
function outwards(value, sign, parts) {
  return (sign > 0 ? Math.floor(value * parts + 1e-6) : Math.ceil(value * parts - 1e-6)) / parts || 0; // not -0
}

/** Least and greatest value of a metric among all runs and points. */
const spanOf = rememberedOfData((key) => {
  let [low, high] = [Infinity, -Infinity];
  for (const values of [runs.metric(key), points.metric(key)])
    for (const value of values) if (Number.isFinite(value)) [low, high] = [Math.min(low, value), Math.max(high, value)];
  return low > high ? [0, 1] : [low, high];
});

/** The value of a facet of a setting as a text. */
function facetOf(name, setting) {
  const value = settings.facet(name)[setting];
  return value === null ? NONE : String(value);
}

/** The values of a facet in order, numbers by size, with the number of runs of each. */
const valuesOfFacet = rememberedOfData((name) => {
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

/** The facets that tell runs apart; that of the regularizers always, as it is the legend. */
const facetsInUse = rememberedOfData(() =>
  FACETS.filter((name) => name === "regularizer" || valuesOfFacet(name).length > 1),
);
const usedFacets = () => facetsInUse("all");

function isRange(facet) {
  return facet === "radius" && valuesOfFacet("radius").length > CHIPS;
}

function passes(setting) {
  for (const facet of usedFacets()) {
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
  for (const key of ["x", "y", "seeds", "points", "objective", "pick", "theme"]) {
    if (state[key] !== START[key] && state[key] !== null) words.set(key, state[key]);
  }
  for (const key of ["bars", "sure"]) if (state[key] !== START[key]) words.set(key, state[key] ? "1" : "0");
  for (const facet of usedFacets()) {
    const [off, first] = [state.off, START.off].map((of) => Array.from(of[facet] || []).sort());
    if (off.join("\n") === first.join("\n")) continue;
    for (const value of off.length ? off : [""]) words.append(`off.${facet}`, value); // none: not even what is at first
  }
  if (state.range) words.set("range", state.range.join(".."));
  if (state.zoom) words.set("zoom", state.zoom.map((end) => Number(end.toPrecision(6))).join(".."));
  const needs = state.needs.map(needToText);
  if (needs.join("\n") !== START.needs.map(needToText).join("\n"))
    for (const need of needs.length ? needs : [""]) words.append("need", need);
  for (const pin of state.pins) words.append("pin", pin);
  if (state.columns) for (const key of state.columns.length ? state.columns : [""]) words.append("column", key);
  if (state.sort) words.set("sort", (state.sort.falling ? "-" : "") + state.sort.by);
  if (state.page) words.set("page", state.page);
  return words.toString();
}

/** The address of the view with some changes, to open beside it. */
function addressWith(changes) {
  const kept = { ...state };
  Object.assign(state, changes);
  const hash = toHash();
  Object.assign(state, kept);
  return `#${hash}`;
}

function needToText(need) {
  return `${need.key}${need.sign > 0 ? ">=" : "<="}${need.value}`;
}

/** Take what an address says; words that mean nothing here are left out. */
function fromHash(hash) {
  const words = new URLSearchParams(hash.replace(/^#/, ""));
  Object.assign(state, structuredClone(START));
  for (const key of ["x", "y", "objective"]) if (METRIC.has(words.get(key))) state[key] = words.get(key);
  if (["runs", "mean"].includes(words.get("seeds"))) state.seeds = words.get("seeds");
  if (["light", "dark"].includes(words.get("theme"))) state.theme = words.get("theme");
  for (const key of ["bars", "sure"]) if (words.has(key)) state[key] = words.get(key) === "1";
  if (OPERATING.includes(words.get("points")) && POINTS) state.points = words.get("points");
  for (const facet of usedFacets()) {
    const known = new Set(valuesOfFacet(facet).map(([value]) => value));
    const off = words.getAll(`off.${facet}`).filter((value) => known.has(value));
    if (words.has(`off.${facet}`)) delete state.off[facet];
    if (off.length) state.off[facet] = new Set(off);
  }
  const range = (words.get("range") || "").split("..").map(Number);
  if (words.has("range") && range.length === 2 && range.every(Number.isFinite)) state.range = range;
  const needs = words.getAll("need").map(needFromText).filter(Boolean);
  if (needs.length || words.get("need") === "") state.needs = needs;
  const zoom = (words.get("zoom") || "").split("..").map(Number);
  if (zoom.length === 4 && zoom.every(Number.isFinite) && zoom[0] < zoom[1] && zoom[2] < zoom[3]) state.zoom = zoom;
  state.pick = words.get("pick");
  state.pins = Array.from(new Set(words.getAll("pin"))).slice(0, PINS);
  const columns = words.getAll("column");
  if (columns.length) state.columns = columns.filter(Boolean);
  const sort = words.get("sort");
  if (sort) state.sort = { by: sort.replace(/^-/, ""), falling: sort.startsWith("-") };
  state.page = Math.max(0, Number.parseInt(words.get("page") || "0", 10) || 0);
}

function needFromText(text) {
  const found = NEED.exec(text);
  if (!found || !METRIC.has(found[1]) || !isOfTestRows(found[1])) return null;
  return { key: found[1], sign: found[2] === ">=" ? 1 : -1, value: Number(found[3]) };
}
