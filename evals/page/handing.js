// Which run of a setting is handed out: the rule of evals/choosing/handing.py, which tests compare with this one.

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

/** The order of two lists of numbers by their first difference. */
function byFirstDifference(a, b) {
  for (let k = 0; k < a.length; k++) if (a[k] !== b[k]) return a[k] < b[k] ? -1 : 1;
  return 0;
}

/** How far a value, or the worst of several, misses a requirement; Infinity where one is not known. */
function beyond(values, { sign, value }) {
  const past = Math.max(...values.map((own) => (value - rounded(own)) * sign));
  return Number.isNaN(past) ? Infinity : Math.max(past, 0);
}

/**
 * The run of a setting to use: of those that meet every requirement themselves the nearest to the mean, in standard
 * deviations over the runs, summed over the metrics; where none does, the one that misses them by least.
 *
 * `values` holds of each metric those of the n runs, `seeds` and `ids` theirs; `ends`, where requirements have to be
 * met for sure, of each metric that is required the [low, high] of the n runs. Gives its place, how many meet all, and
 * what it misses.
 */
function handOut(values, needs, seeds, ids, ends = null) {
  const scales = Object.fromEntries(Object.entries(values).map(([key, of]) => [key, scaleOf(of)]));
  const centres = Object.fromEntries(Object.entries(values).map(([key, of]) => [key, average(of)]));
  const unit = (key) => (Number.isFinite(scales[key]) ? scales[key] : 1);
  const figures = (i, key) => [values[key][i], ...(ends ? ends[key][i] : [])];
  const met = (i, need) => figures(i, need.key).every((value) => meets(value, need));
  const ranks = ids.map((id, i) => {
    const own = needs.every((need) => met(i, need));
    const missed = own ? 0 : needs.reduce((sum, need) => sum + beyond(figures(i, need.key), need) / unit(need.key), 0);
    const away = Object.keys(values).map((key) => Math.abs(values[key][i] - centres[key]) / scales[key] || 0);
    const distance = away.reduce((sum, part) => sum + part, 0);
    return [own ? 0 : 1, rounded(missed), rounded(distance), seeds[i] === null ? Infinity : Number(seeds[i]), id];
  });
  const place = ranks.reduce((best, rank, i) => (byFirstDifference(rank, ranks[best]) < 0 ? i : best), 0);
  return {
    place,
    meeting: ranks.filter((rank) => rank[0] === 0).length,
    missed: needs.filter((need) => !met(place, need)),
  };
}

/**
 * The run, or point of a run, of a mark that is handed out: the `row` among runs or points, the `run`, what it misses,
 * how many of how many runs meet every requirement themselves. Of a mark whose runs lack a metric, among all of them.
 */
function handedOut(marks, i, level = null) {
  const [keys, table] = [questioned(), marks.table(i)];
  const whole = complete(marks, i, keys);
  const rows = whole.length ? whole : marks.members(i);
  const values = Object.fromEntries(keys.map((key) => [key, rows.map((row) => table.metric(key)[row])]));
  const owners = rows.map((row) => (marks.isPoint(i) ? points.run[row] : row));
  const seeds = owners.map((run) => runs.seed[run]);
  const ids = owners.map((run) => runs.id[run]);
  const wide = (key) => rows.map((row) => atLevel(table, key, row, level));
  const ends = level === null ? null : Object.fromEntries(state.needs.map(({ key }) => [key, wide(key)]));
  const { place, meeting, missed } = handOut(values, state.needs, seeds, ids, ends);
  const own = (key) => table.metric(key)[rows[place]];
  return { row: rows[place], run: owners[place], table, meeting, missed, of: rows.length, own };
}

/** Whether the interval over the test rows of what is handed out crosses the limit that its figure meets. */
function crosses(handed, need) {
  const ends = [handed.own(`${need.key}_low`), handed.own(`${need.key}_high`)];
  return meets(handed.own(need.key), need) && ends.every(Number.isFinite) && !ends.every((end) => meets(end, need));
}
