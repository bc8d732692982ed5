// The data of the page: columns as evals/report.py writes them, decoded when they are first asked for.

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const PLACE = new Uint8Array(128);
for (let i = 0; i < ALPHABET.length; i++) PLACE[ALPHABET.charCodeAt(i)] = i;

const held = JSON.parse(document.getElementById("data").textContent);

/** The place among its distinct values of each of the n rows of a column. */
function places(column, n) {
  const found = new Uint32Array(n);
  for (let row = 0, k = 0; row < n; row++) {
    let place = 0;
    for (let i = 0; i < column.wide; i++) place = place * 64 + PLACE[column.at.charCodeAt(k++)];
    found[row] = place;
  }
  return found;
}

/** The distinct values of a column, none at the end where a place leads beyond them. */
function distinctOf(column) {
  if (column.of) return column.of;
  let sum = 0;
  return column.steps.map((step) => (sum += step) / 10 ** column.power);
}

/** The numbers of a column (n,), NaN for none; all NaN where there is no such column. */
function numbersOf(column, n) {
  const found = new Float64Array(n).fill(NaN);
  if (!column) return found;
  const of = distinctOf(column);
  places(column, n).forEach((place, row) => (found[row] = place < of.length ? of[place] : NaN));
  return found;
}

/** The values of a column (n,) as they are, null for none. */
function valuesOf(column, n) {
  const of = distinctOf(column);
  return Array.from(places(column, n), (place) => (place < of.length ? of[place] : null));
}

/** A function of one argument, an object or a text, that remembers its answers. */
function remembered(make) {
  const known = new Map();
  return (key) => {
    if (!known.has(key)) known.set(key, make(key));
    return known.get(key);
  };
}

const METRIC = new Map(held.metrics.map((metric) => [metric.key, metric]));
const RUNS = held.runs.n;
const SETTINGS = held.settings.n;
const POINTS = held.points ? held.points.n : 0;

/** What the thresholds of n runs or points were fitted to: the keys of the gaps, the limit, the gap on those rows. */
function fitsOf(of, n) {
  return {
    keys: of ? valuesOf(of.keys, n) : [],
    limit: numbersOf(of && of.limit, n),
    fitted: numbersOf(of && of.fitted, n),
  };
}

const runs = {
  id: Array.from(numbersOf(held.runs.doc_id, RUNS)),
  name: valuesOf(held.runs.name, RUNS),
  seed: valuesOf(held.runs.seed, RUNS),
  created: valuesOf(held.runs.created, RUNS),
  warnings: valuesOf(held.runs.warnings, RUNS),
  loads: valuesOf(held.runs.loads, RUNS),
  ranges: valuesOf(held.runs.ranges, RUNS),
  poison: valuesOf(held.runs.poison, RUNS),
  setting: Uint32Array.from(numbersOf(held.runs.setting, RUNS)),
  metric: remembered((key) => numbersOf(held.runs.metrics[key], RUNS)),
  fit: fitsOf(held.runs.fit, RUNS),
  model: remembered((key) => (key in held.models ? valuesOf(held.models[key], RUNS) : null)),
};

const points = {
  run: held.points ? Uint32Array.from(numbersOf(held.points.run, POINTS)) : new Uint32Array(0),
  number: held.points ? Uint32Array.from(numbersOf(held.points.point, POINTS)) : new Uint32Array(0),
  policy: held.points ? valuesOf(held.points.policy, POINTS) : [],
  metric: remembered((key) => numbersOf(held.points ? held.points.metrics[key] : null, POINTS)),
  fit: fitsOf(held.points && held.points.fit, POINTS),
};

const settings = {
  facet: remembered((name) => valuesOf(held.settings.facets[name], SETTINGS)),
  param: remembered((key) => valuesOf(held.settings.params[key], SETTINGS)),
  command: valuesOf(held.settings.command, SETTINGS),
  alone: valuesOf(held.settings.alone, SETTINGS),
  remark: valuesOf(held.settings.remark, SETTINGS),
  lost: valuesOf(held.settings.lost, SETTINGS),
};

/** A metric in words, without its unit. */
function briefly(key) {
  return METRIC.has(key) ? METRIC.get(key).words.split(" (")[0] : key;
}

function directionOf(key) {
  return METRIC.has(key) ? METRIC.get(key).direction : 0;
}

/** A figure for a reader: four decimals, or four digits where it is large. */
function figure(value) {
  if (!Number.isFinite(value)) return "–";
  if (value !== 0 && Math.abs(value) < 0.00005) return value.toExponential(1);
  return Math.abs(value) >= 100 ? String(Math.round(value)) : value.toFixed(Math.abs(value) >= 10 ? 2 : 4);
}

function counted(n, noun) {
  return `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;
}
