// From the state to a view: the marks that are shown, their frontier, what requirements permit.

const populations = { runs: rememberedOfData(everyRun), mean: rememberedOfData(everySetting) };
const current = () => populations[state.seeds](0);

/**
 * What is shown for the state: the marks that pass the filters, those of them that have both axes and are drawn
 * (`shown`), their frontier, and the answer to the question, which all that pass compete for.
 */
function look() {
  const marks = current();
  const keys = [state.x, state.y];
  const [xs, ys] = keys.map((key) => marks.value(key));
  const signs = keys.map(directionOf);
  const passing = passingOf(marks);
  const placed = passing.filter((i) => !Number.isNaN(xs[i]) && !Number.isNaN(ys[i]));
  const apart = apartOf(marks, placed, keys);
  const ranked = signs[0] !== 0 && signs[1] !== 0 && !apart;
  const mask = ranked ? efficientMask(xs, ys, signs, placed) : new Uint8Array(marks.n);
  const bars = state.bars ? keys.map((key) => marks.interval(key)) : null;
  const found = { marks, keys, xs, ys, signs, passing, placed, mask, ranked, bars, zoom: state.zoom, apart };
  found.missing = passing.length - placed.length;
  found.words = keys.map((key) => METRIC.get(key).words);
  found.better = keys.map(betterEnd);
  found.steps = ranked ? staircase(xs, ys, signs, mask) : [];
  Object.assign(found, judged(marks, passing));
  found.unlike = apartOf(marks, found.candidates, questioned());
  if (found.unlike) Object.assign(found, { permitted: new Uint8Array(marks.n), allowed: 0, best: -1 });
  found.pins = state.pins.map(markOf).filter((i) => i >= 0);
  found.picked = passing.includes(markOf(state.pick)) ? markOf(state.pick) : -1;
  found.shown = drawnOf(found);
  found.references = references(marks, keys, found.shown);
  found.hovered = -1;
  return found;
}

/** The marks that pass the filters. */
function passingOf(marks) {
  const open = Array.from({ length: SETTINGS }, (_, setting) => passes(setting));
  const found = [];
  const last = state.points === "none" ? marks.models : marks.n;
  for (let i = 0; i < last; i++) if (open[marks.setting(i)]) found.push(i);
  return found;
}

/** The marks that are drawn: all, or of the operating points those that are efficient, best, picked or pinned. */
function drawnOf({ marks, placed, mask, best, pins, picked }) {
  if (state.points !== "few") return placed;
  const whole = new Set(pins.map(marks.parent));
  return placed.filter((i) => !marks.isPoint(i) || mask[i] || i === best || i === picked || whole.has(marks.parent(i)));
}

/** Why the figures of one of the metrics do not compare: those of the marks are of several data, groups or causal models; else none. */
function apartOf(marks, shown, keys) {
  const sources = new Set(shown.map((i) => facetOf("source", marks.setting(i))));
  sources.delete(NONE); // what does not tell goes along
  if (held.source && sources.size > 1)
    return `these runs are of several sources of data, whose figures do not compare: ${[...sources].join("; ")}. Choose one`;
  for (const key of keys) {
    const models = runs.model(key);
    const found = new Set();
    for (const i of models ? shown : [])
      for (const run of marks.runsOf(i)) if (models[run] !== null) found.add(models[run]);
    if (found.size > 1) {
      const { judge, taken, about = "causal model" } = METRIC.get(key);
      const said = `${briefly(key)} belongs to its ${about}, and these runs rest on several: ${[...found].join("; ")}`;
      const other = taken
        ? `, or take ${taken}, under which all are judged`
        : judge && `, or judge all under one: ${judge}`;
      return `${said}. Choose one under Filters${other || ""}`;
    }
  }
  return null;
}

/** Which end of an axis is better, in words and by its arrow. */
function betterEnd(key) {
  if (isSigned(key)) return [" · nearest to 0 is best", ""];
  const sign = directionOf(key);
  if (!sign) return ["", ""];
  return sign > 0 ? [" · higher is better →", " →"] : [" · ← lower is better", " ←"];
}

/** Whether a metric is a difference whose best value, none, lies between its ends. */
function isSigned(key) {
  return /_signed_gap(_by_.*)?$/.test(key);
}

/** bayes_accuracy beside accuracy, and the like: what the most accurate of all classifiers reaches, as filed. */
function references(marks, keys, shown) {
  const found = [];
  keys.forEach((key, k) => {
    if (!(`bayes_${key}` in held.runs.metrics)) return;
    const values = marks.value(`bayes_${key}`);
    let [low, high] = [Infinity, -Infinity];
    for (const i of shown)
      if (!Number.isNaN(values[i])) [low, high] = [Math.min(low, values[i]), Math.max(high, values[i])];
    const words = key === "accuracy" ? "best attainable accuracy" : "at the best attainable accuracy";
    const value = low < high ? `${figure(low)} to ${figure(high)}` : figure(low);
    if (low <= high) found.push({ axis: k ? "y" : "x", low, high, words, value });
  });
  return found;
}

// --- names of marks, for the address ---------------------------------------------------------------------------

/** `12` is the run of record 12, `12.3` its operating point 3; in the mean over seeds, of its setting. */
function codeOf(marks, i) {
  return `${runs.id[marks.first(i)]}${marks.isPoint(i) ? `.${marks.point(i)}` : ""}`;
}

const codes = rememberedOfData((marks) => {
  const known = new Map();
  for (let i = 0; i < marks.n; i++) known.set(codeOf(marks, i), i);
  return known;
});

function markOf(code) {
  const found = code === null ? undefined : codes(current()).get(code);
  return found === undefined ? -1 : found;
}
