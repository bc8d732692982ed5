// The question of the page's head and its answer: the best mark that meets every requirement, what that costs, and the
// nearest where none does; the rules of evals/choosing/choice.py, which tests compare with these.

const CONFIDENCE = 0.95; // that a choice for sure hands out nothing that violates a limit

/** The metrics that the reader's question is about: the objective and those of the requirements. */
function questioned() {
  return [...new Set([state.objective, ...state.needs.map((need) => need.key)])];
}

/** The runs, or points, of a mark that have all of the metrics: a mean is over these. */
function complete(marks, i, keys) {
  let full = 1;
  for (const key of keys) full &= marks.full(key)[i];
  if (full) return marks.members(i);
  const columns = keys.map((key) => marks.table(i).metric(key));
  return marks.members(i).filter((row) => columns.every((column) => !Number.isNaN(column[row])));
}

/** The mean of a metric over some of the runs of a mark. */
function meanOf(marks, i, key, rows) {
  return rows.length === marks.members(i).length ? marks.value(key)[i] : mean(marks.table(i).metric(key), rows);
}

/** The 95 % interval [low, high] of such a mean: over seeds, or of one run over its test rows. */
function intervalOf(marks, i, key, rows) {
  const table = marks.table(i);
  if (rows.length === 1) return [`${key}_low`, `${key}_high`].map((end) => table.metric(end)[rows[0]]);
  return overSeeds(
    rows.map((row) => table.metric(key)[row]),
    METRIC.get(key).bounds,
  );
}

/**
 * What the requirements permit of the marks that pass the filters, and the best of it by the objective.
 *
 * Those compete that have every metric of the question. Gives `permitted` (n,), `candidates`, the best and the best
 * `free` of requirements, the nearest where nothing is permitted, how many meet each requirement by itself, and where
 * all has to be sure the `level` of the intervals that are asked.
 */
function judged(marks, passing) {
  const [keys, limited] = [questioned(), [...new Set(state.needs.map((need) => need.key))]];
  const candidates = passing.filter((i) => complete(marks, i, keys).length);
  const some = candidates.length < passing.length ? limited : keys; // without the objective: permitted, but of no rank
  const rows = { get: (i) => firstOf(complete(marks, i, keys), () => complete(marks, i, some)) };
  const asked = { marks, rows, level: levelOf(candidates, rows) };
  const permitted = new Uint8Array(marks.n).fill(state.needs.length ? 0 : 1);
  for (const i of state.needs.length ? passing : []) permitted[i] = isPermitted(asked, i, state.needs) ? 1 : 0;
  const better = (best, i) => (best < 0 || isBetter(asked, i, best) ? i : best);
  const rivals = candidates.filter((i) => permitted[i]);
  const ranked = directionOf(state.objective) !== 0; // else nobody knows which end is better
  const [best, free] = [rivals, candidates].map((of) => (ranked ? of.reduce(better, -1) : -1));
  const worth = (i) => rounded(meanOf(marks, i, state.objective, rows.get(i)));
  return {
    ...{ asked, permitted, candidates, best, free, needs: state.needs, level: asked.level },
    allowed: rivals.length,
    equals: best < 0 ? 0 : rivals.filter((i) => worth(i) === worth(best)).length,
    meeting: () => state.needs.map((need) => candidates.filter((i) => isPermitted(asked, i, [need])).length),
    nearest: () => (rivals.length ? -1 : nearestOf(asked, candidates)),
  };
}

function firstOf(list, other) {
  return list.length ? list : other();
}

/** The level of each interval by which no run that violates a requirement is sure, at 95 % (Bonferroni); else null. */
function levelOf(candidates, rows) {
  if (!state.sure || !state.needs.length) return null;
  const compared = candidates.reduce((sum, i) => sum + rows.get(i).length, 0);
  return 1 - (1 - CONFIDENCE) / Math.max(compared * state.needs.length, 1);
}

/** How many runs are compared, and how many of them no interval of any level is known of, so that they are never sure. */
function uncountedOf({ marks, rows, level }, candidates) {
  const keys = [...new Set(state.needs.map((need) => need.key))];
  const counted = (i, row) => keys.every((key) => Number.isFinite(atLevel(marks.table(i), key, row, level)[0]));
  const each = candidates.flatMap((i) => rows.get(i).map((row) => counted(i, row)));
  return [each.length, each.filter((known) => !known).length];
}

/** Whether a mark meets requirements by its mean, and where it has to be sure by one run with its whole interval. */
function isPermitted({ marks, rows, level }, i, needs) {
  const own = rows.get(i);
  if (!own.length || !needs.every((need) => meets(meanOf(marks, i, need.key, own), need))) return false;
  if (level === null) return true;
  const table = marks.table(i);
  const sure = (row, need) => figuresOf(table, need.key, row, level).every((value) => meets(value, need));
  return own.some((row) => needs.every((need) => sure(row, need)));
}

/** A figure of a run, and the ends of its interval at a level. */
function figuresOf(table, key, row, level) {
  return [table.metric(key)[row], ...atLevel(table, key, row, level)];
}

function isBetter(asked, i, other) {
  const sign = directionOf(state.objective) || 1;
  const [own, others] = [i, other].map((mark) =>
    rounded(meanOf(asked.marks, mark, state.objective, asked.rows.get(mark))),
  );
  return own === others ? byFirstDifference(rankOf(asked, i), rankOf(asked, other)) < 0 : (own - others) * sign > 0;
}

/** The order of marks of one objective, better ones first: further inside, more seeds, lower id, own thresholds. */
function rankOf({ marks, rows }, i) {
  const own = rows.get(i);
  const inside = state.needs.map(({ key, sign }) => -sign * rounded(meanOf(marks, i, key, own)));
  const first = marks.isPoint(i) ? points.run[own[0]] : own[0];
  return [...inside, -own.length, runs.id[first], marks.isPoint(i) ? marks.point(i) : -1];
}

/** The candidate nearest to meeting all requirements, in ranges of the metrics; of equally near ones the better. */
function nearestOf(asked, candidates) {
  const ranges = new Map(state.needs.map(({ key }) => [key, rangeOf(asked, candidates, key)]));
  let [nearest, least] = [-1, null];
  for (const i of candidates) {
    const misses = missesOf(asked, i, ranges).map(rounded);
    const order = nearest < 0 ? -1 : byFirstDifference(misses, least);
    if (order < 0 || (order === 0 && isBetter(asked, i, nearest))) [nearest, least] = [i, misses];
  }
  return nearest;
}

function rangeOf({ marks, rows }, candidates, key) {
  let [low, high] = [Infinity, -Infinity];
  for (const i of candidates) {
    const value = meanOf(marks, i, key, rows.get(i));
    [low, high] = [Math.min(low, value), Math.max(high, value)];
  }
  return high - low || 1;
}

/** How far the nearest run of a mark is from being sure, and its mean from the requirements. */
function missesOf({ marks, rows, level }, i, ranges) {
  const [own, table] = [rows.get(i), marks.table(i)];
  const sum = (of) => state.needs.reduce((total, need) => total + of(need) / ranges.get(need.key), 0);
  const runsMiss = own.map((row) => sum((need) => beyond(figuresOf(table, need.key, row, level), need)));
  const meanMisses = sum((need) => beyond([meanOf(marks, i, need.key, own)], need));
  return [level === null ? 0 : Math.min(...runsMiss), meanMisses];
}

/** The requirements as a mark would meet them, their limits moved outwards to four decimals where it does not. */
function needsMetBy({ marks, rows, level }, i) {
  const [own, table] = [rows.get(i), marks.table(i)];
  const run = level === null ? null : handedOut(marks, i, level).row;
  return state.needs.map((need) => {
    const figures = [meanOf(marks, i, need.key, own), ...(run === null ? [] : figuresOf(table, need.key, run, level))];
    if (figures.every((value) => meets(value, need))) return need;
    const worst = need.sign > 0 ? Math.min(...figures) : Math.max(...figures);
    return { ...need, value: outwards(worst, need.sign, 1e4) };
  });
}

// --- what requirements cost ----------------------------------------------------------------------------------------

/**
 * By how much the best of all is better than the best permitted, with a 95 % interval and what that is made of: paired
 * by seed (Student) where both have the same seeds, two or more; else of both figures' own intervals.
 */
function costOf({ marks, rows }, best, free) {
  const [key, sign] = [state.objective, directionOf(state.objective) || 1];
  const [own, other] = [best, free].map((i) => rows.get(i));
  const [value, others] = [meanOf(marks, best, key, own), meanOf(marks, free, key, other)];
  const cost = (others - value) * sign;
  const pairs = pairedBySeed(marks, best, own, free, other, key);
  if (pairs) return { cost, ends: overSeeds(pairs.map((d) => d * sign)), by: `over ${pairs.length} seeds, paired` };
  const paired = pairedOnRows(marks, best, own, free, other, key);
  if (paired)
    return { cost, ends: sign > 0 ? paired : [-paired[1], -paired[0]], by: "over the same test rows, paired" };
  const [mine, theirs] = [intervalOf(marks, best, key, own), intervalOf(marks, free, key, other)];
  const ends = sign > 0 ? ofDifference(others, theirs, value, mine) : ofDifference(value, mine, others, theirs);
  const of = Math.max(own.length, other.length) > 1 ? "over seeds" : "over test rows";
  return { cost, ends, by: `from the intervals of both ${of}` };
}

/** The interval of a metric of the second run less the first, of two that keep their decisions on the same rows; else null. */
function pairedOnRows(marks, i, rows, j, others, key) {
  if (rows.length > 1 || others.length > 1 || marks.isPoint(i) || marks.isPoint(j)) return null;
  const both = bothDecided(rows[0], others[0]);
  return (both && pairedDifference(both, key)?.ends) || null;
}

/** The differences, seed by seed, of a metric of two marks; null where they have not the same seeds, or one alone. */
function pairedBySeed(marks, i, rows, j, others, key) {
  const bySeed = (mark, of) => {
    const run = (row) => (marks.isPoint(mark) ? points.run[row] : row);
    return new Map(of.map((row) => [runs.seed[run(row)], marks.table(mark).metric(key)[row]]));
  };
  const [own, other] = [bySeed(i, rows), bySeed(j, others)];
  const same = own.size === rows.length && other.size === others.length && own.size === other.size;
  if (!same || own.size < 2 || !Array.from(own.keys()).every((seed) => seed !== null && other.has(seed))) return null;
  return Array.from(own, ([seed, value]) => other.get(seed) - value);
}
