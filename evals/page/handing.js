// What requirements permit, and which run of a setting is handed out: the rules of evals/choosing/handing.py and of the
// ranking in evals/choosing/choice.py, which tests compare with these.

const CLOSE = 9; // decimals to which figures are compared with limits, and distances with each other
const NO_SPREAD = 1e-12; // of standard deviations: below, what is left is rounding

function rounded(value) {
  return Number.isFinite(value) ? Math.round(value * 10 ** CLOSE) / 10 ** CLOSE : value;
}

/** Whether a value meets a requirement {key, sign, value}, at least (+1) or at most (-1); NaN meets none. */
function meets(value, need) {
  return (rounded(value) - need.value) * need.sign >= 0;
}

/** Whether a metric may be required: validation rows were seen by a search or a fit. */
function isOfTestRows(key) {
  return !/_valid(_unpoisoned)?$/.test(key);
}

/** The standard deviation of the sample; infinite where all values are one. */
function scaleOf(values) {
  if (values.length < 2) return Infinity;
  const centre = average(values);
  const spread = Math.sqrt(values.reduce((sum, value) => sum + (value - centre) ** 2, 0) / (values.length - 1));
  return spread > NO_SPREAD ? spread : Infinity;
}

function average(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** The order of two lists of numbers by their first difference. */
function byFirstDifference(a, b) {
  for (let k = 0; k < a.length; k++) if (a[k] !== b[k]) return a[k] < b[k] ? -1 : 1;
  return 0;
}

/**
 * The run of a setting to use: of those that meet every requirement themselves the nearest to the mean, in standard
 * deviations over the runs, summed over the metrics; where none does, the one that misses them by least. `values` holds
 * of each metric those of the n runs, `seeds` and `ids` theirs. Gives its place, how many meet all, and what it misses.
 */
function handOut(values, needs, seeds, ids) {
  const scales = Object.fromEntries(Object.entries(values).map(([key, of]) => [key, scaleOf(of)]));
  const centres = Object.fromEntries(Object.entries(values).map(([key, of]) => [key, average(of)]));
  const unit = (key) => (Number.isFinite(scales[key]) ? scales[key] : 1);
  const beyond = (i, { key, sign, value }) => {
    const past = Math.max((value - rounded(values[key][i])) * sign, 0) / unit(key);
    return Number.isNaN(past) ? Infinity : past;
  };
  const ranks = ids.map((id, i) => {
    const own = needs.every((need) => meets(values[need.key][i], need));
    const missed = own ? 0 : needs.reduce((sum, need) => sum + beyond(i, need), 0);
    const away = Object.keys(values).map((key) => Math.abs(values[key][i] - centres[key]) / scales[key] || 0);
    const distance = away.reduce((sum, part) => sum + part, 0);
    return [own ? 0 : 1, rounded(missed), rounded(distance), seeds[i] === null ? Infinity : Number(seeds[i]), id];
  });
  const place = ranks.reduce((best, rank, i) => (byFirstDifference(rank, ranks[best]) < 0 ? i : best), 0);
  return {
    place,
    meeting: ranks.filter((rank) => rank[0] === 0).length,
    missed: needs.filter((need) => !meets(values[need.key][place], need)),
  };
}

/** The metrics that the reader's question is about: the objective and those of the requirements, or the axes. */
function questioned() {
  const keys = state.needs.length ? [state.objective, ...state.needs.map((need) => need.key)] : [state.x, state.y];
  return [...new Set(keys)];
}

/** The runs, or points, of a mark that have all of the metrics: a mean is over these. */
function complete(marks, i, keys) {
  const columns = keys.map((key) => (marks.isPoint(i) ? points.metric(key) : runs.metric(key)));
  return marks.members(i).filter((row) => columns.every((column) => !Number.isNaN(column[row])));
}

/** The mean over the complete runs of a mark of one of its metrics. */
function meanOf(marks, i, key, rows) {
  return mean(marks.isPoint(i) ? points.metric(key) : runs.metric(key), rows);
}

/**
 * The run, or point of a run, of a mark that is handed out: the `row` among runs or points, the `run`, what it misses,
 * how many of how many runs meet every requirement themselves. Of a mark whose runs lack a metric, among all of them.
 */
function handedOut(marks, i) {
  const keys = questioned();
  const whole = complete(marks, i, keys);
  const rows = whole.length ? whole : marks.members(i);
  const column = (key) => (marks.isPoint(i) ? points.metric(key) : runs.metric(key));
  const values = Object.fromEntries(keys.map((key) => [key, rows.map((row) => column(key)[row])]));
  const owners = rows.map((row) => (marks.isPoint(i) ? points.run[row] : row));
  const seeds = owners.map((run) => runs.seed[run]);
  const ids = owners.map((run) => runs.id[run]);
  const { place, meeting, missed } = handOut(values, state.needs, seeds, ids);
  const own = (key) => column(key)[rows[place]];
  return { row: rows[place], run: owners[place], meeting, missed, of: rows.length, own };
}

/** The order of marks, better ones first: by the objective, further inside the requirements, more seeds, lower id. */
function rankOf(marks, i, rows) {
  const sign = directionOf(state.objective) || 1;
  const inside = state.needs.map(({ key, sign: side }) => -side * rounded(meanOf(marks, i, key, rows)));
  const objective = -sign * rounded(meanOf(marks, i, state.objective, rows));
  const first = marks.isPoint(i) ? points.run[rows[0]] : rows[0];
  return [objective, ...inside, -rows.length, runs.id[first], marks.isPoint(i) ? marks.point(i) : -1];
}

/** Which marks meet the requirements by their means, the best of them by the objective, its value and its cost. */
function judged(marks, shown) {
  const permitted = new Uint8Array(marks.n).fill(1);
  const [keys, limited] = [questioned(), [...new Set(state.needs.map((need) => need.key))]];
  const ranks = new Map();
  let unknown = 0;
  for (const i of state.needs.length ? shown : []) {
    const whole = complete(marks, i, keys);
    const rows = whole.length ? whole : complete(marks, i, limited);
    if (whole.length) ranks.set(i, rankOf(marks, i, whole));
    if (!rows.length) unknown += 1;
    const met = (need) => meets(meanOf(marks, i, need.key, rows), need);
    permitted[i] = rows.length > 0 && state.needs.every(met) ? 1 : 0;
  }
  const better = (best, i) => (best < 0 || byFirstDifference(ranks.get(i), ranks.get(best)) < 0 ? i : best);
  const allowed = shown.filter((i) => permitted[i]);
  const rivals = allowed.filter((i) => ranks.has(i));
  const best = rivals.reduce(better, -1);
  const worth = (i) => (i < 0 ? NaN : ranks.get(i)[0]);
  return {
    needs: state.needs,
    permitted,
    unknown,
    allowed: allowed.length,
    compared: ranks.size,
    best,
    equals: rivals.filter((i) => worth(i) === worth(best)).length,
    value: -(directionOf(state.objective) || 1) * worth(best),
    cost: worth(best) - worth(Array.from(ranks.keys()).reduce(better, -1)),
  };
}

/** Whether the interval over the test rows of what is handed out crosses the limit that its figure meets. */
function crosses(handed, need) {
  const ends = [handed.own(`${need.key}_low`), handed.own(`${need.key}_high`)];
  return meets(handed.own(need.key), need) && ends.every(Number.isFinite) && !ends.every((end) => meets(end, need));
}
