// The data of the page: columns as evals/report.py writes them, decoded when they are first asked for.

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const PLACE = new Uint8Array(128);
for (let i = 0; i < ALPHABET.length; i++) PLACE[ALPHABET.charCodeAt(i)] = i;

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
  const found = (key) => {
    if (!known.has(key)) known.set(key, make(key));
    return known.get(key);
  };
  found.forget = () => known.clear();
  return found;
}

const lasting = []; // what remembers answers about the data, which new data make void

function rememberedOfData(make) {
  const found = remembered(make);
  lasting.push(found);
  return found;
}

let held, METRIC, RUNS, SETTINGS, POINTS, runs, points, settings;

/** Take new data in place of what was there. */
function takeData(given) {
  held = given;
  for (const of of lasting) of.forget();
  METRIC = new Map(held.metrics.map((metric) => [metric.key, metric]));
  RUNS = held.runs.n;
  SETTINGS = held.settings.n;
  POINTS = held.points ? held.points.n : 0;
  runs = {
    ...measuredOf(held.runs, RUNS),
    id: Array.from(numbersOf(held.runs.doc_id, RUNS)),
    name: valuesOf(held.runs.name, RUNS),
    seed: valuesOf(held.runs.seed, RUNS),
    created: valuesOf(held.runs.created, RUNS),
    warnings: valuesOf(held.runs.warnings, RUNS),
    loads: valuesOf(held.runs.loads, RUNS),
    ranges: valuesOf(held.runs.ranges, RUNS),
    poison: valuesOf(held.runs.poison, RUNS),
    explained: valuesOf(held.runs.explained, RUNS),
    setting: Uint32Array.from(numbersOf(held.runs.setting, RUNS)),
    model: remembered((key) => (key in held.models ? valuesOf(held.models[key], RUNS) : null)),
  };
  points = {
    ...measuredOf(held.points, POINTS),
    run: held.points ? Uint32Array.from(numbersOf(held.points.run, POINTS)) : new Uint32Array(0),
    number: held.points ? Uint32Array.from(numbersOf(held.points.point, POINTS)) : new Uint32Array(0),
    policy: held.points ? valuesOf(held.points.policy, POINTS) : [],
  };
  const of = (name) => valuesOf(held.settings[name], SETTINGS);
  settings = {
    facet: remembered((name) => valuesOf(held.settings.facets[name], SETTINGS)),
    param: remembered((key) => valuesOf(held.settings.params[key], SETTINGS)),
    ...Object.fromEntries(["command", "alone", "remark", "lost", "label"].map((name) => [name, of(name)])),
  };
}

/** Metrics of n runs or points, the counts that their intervals are made of, and what thresholds were fitted to. */
function measuredOf(of, n) {
  const column = (name) => remembered((key) => numbersOf(of ? of.counts[name][key] : null, n));
  return {
    metric: remembered((key) => numbersOf(of ? of.metrics[key] : null, n)),
    part: column("part"),
    whole: column("whole"),
    deviation: column("deviation"),
    fit: {
      keys: of ? valuesOf(of.fit.keys, n) : [],
      limit: numbersOf(of && of.fit.limit, n),
      fitted: numbersOf(of && of.fit.fitted, n),
    },
  };
}

takeData(JSON.parse(document.getElementById("data").textContent));

/** A metric in words, without its unit. */
function briefly(key) {
  return METRIC.has(key) ? METRIC.get(key).words.split(" (")[0] : key;
}

function directionOf(key) {
  return METRIC.has(key) ? METRIC.get(key).direction : 0;
}

function counted(n, noun) {
  return `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;
}
