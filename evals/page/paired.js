// Two runs on the same test rows: what their records keep of each row, and paired differences with intervals; the rules
// of evals/choosing/comparison.py, which tests compare with these.

const LEVEL = 0.95;
const MOST_CONTRASTS = 2 ** 22; // pairs of pairs of groups; beyond them a gap has no interval
const GAPS = {
  fnr_gap: ["fnr"],
  fpr_gap: ["fpr"],
  demographic_parity_difference: ["acceptance_rate"],
  equalized_odds_difference: ["fnr", "fpr"],
  accuracy_gap: ["accuracy"],
};

/** Numbers (n,) that were packed in as few bits each as tell `levels` apart, lowest bit first. */
function unpacked(text, n, levels) {
  const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  const width = levels > 1 ? 32 - Math.clz32(levels - 1) : 0;
  const found = new Uint16Array(n);
  for (let row = 0, k = 0; row < n; row++)
    for (let bit = 0; bit < width; bit++, k++) if (bytes[k >> 3] & (128 >> (k & 7))) found[row] |= 1 << bit;
  return found;
}

/** The test rows of a place in the list: classes and groups of each. */
const testRows = rememberedOfData((place) => {
  const { n, classes, groups, y, s } = held.decisions.rows[place];
  return { n, classes, groups, y: unpacked(y, n, classes), s: unpacked(s, n, groups) };
});

/** What a run decided about its test rows, or null where its record does not keep it. */
const decisionsOf = rememberedOfData((run) => {
  const found = held.decisions.of[run];
  if (!found) return null;
  const rows = testRows(found[0]);
  return { rows, labels: unpacked(found[1], rows.n, rows.classes) };
});

/** The decisions of two runs on the same rows, or null. */
function bothDecided(a, b) {
  const [first, second] = [decisionsOf(a), decisionsOf(b)];
  return first && second && first.rows === second.rows ? [first, second] : null;
}

/** Whether a row counts in a rate, and whether it is a share of it: [among, counts]. */
function event(rate, label, y) {
  if (rate === "fnr") return [y === 1, label === 0];
  if (rate === "fpr") return [y === 0, label === 1];
  return [true, rate === "acceptance_rate" ? label === 1 : label === y];
}

/** How often a rate counts for both, the first alone, the second alone and neither, four numbers for each part. */
function cellsOf(rate, [first, second], part, parts) {
  const found = new Float64Array(4 * parts);
  const { n, y } = first.rows;
  for (let row = 0; row < n; row++) {
    const [among, a] = event(rate, first.labels[row], y[row]);
    const [, b] = event(rate, second.labels[row], y[row]);
    if (among) found[4 * part[row] + 3 - 2 * a - b] += 1;
  }
  return found;
}

/** The second share less the first, from four cells (Bonett and Price 2012, equation 6). */
function ofShare([both, onlyFirst, onlySecond, neither]) {
  const n = both + onlyFirst + onlySecond + neither;
  if (!n) return { first: NaN, second: NaN, ends: [NaN, NaN] };
  const [p, q] = [(onlyFirst + 1) / (n + 2), (onlySecond + 1) / (n + 2)];
  const half = normalQuantile((1 + LEVEL) / 2) * Math.sqrt((p + q - (q - p) ** 2) / (n + 2));
  const ends = [Math.max(q - p - half, -1), Math.min(q - p + half, 1)];
  return { first: (both + onlyFirst) / n, second: (both + onlySecond) / n, ends };
}

/** The difference of a figure that is the largest of several, from cells of k parts and contrasts of pairs of them. */
function ofLargest(cells, contrasts) {
  const parts = Array.from({ length: cells.length / 4 }, (_, i) => cells.slice(4 * i, 4 * i + 4));
  const sizes = parts.map((of) => of.reduce((sum, value) => sum + value, 0));
  if (sizes.some((n) => !n)) return { first: NaN, second: NaN, ends: [NaN, NaN] };
  const largest = (rates) => Math.max(...contrasts.map((terms) => along(terms, rates)));
  const [first, second] = [1, 2].map((k) => largest(parts.map((of, i) => (of[0] + of[k]) / sizes[i])));
  const known = contrasts.length ** 2 <= MOST_CONTRASTS;
  return { first, second, ends: known ? boundsOf(parts, sizes, contrasts) : [NaN, NaN] };
}

/** A contrast: [[part, factor], ...] of a rate each. */
function along(terms, rates) {
  return terms.reduce((sum, [part, factor]) => sum + factor * rates[part], 0);
}

function boundsOf(parts, sizes, contrasts) {
  const shares = parts.map(([a, b, c], i) => [a, b + 1, c + 1].map((value) => value / (sizes[i] + 2)));
  const rates = [1, 2].map((k) => shares.map((of) => of[0] + of[k]));
  const spread = rates.map((of) => of.map((rate, i) => (rate * (1 - rate)) / (sizes[i] + 2)));
  const shared = shares.map((of, i) => (of[0] - rates[0][i] * rates[1][i]) / (sizes[i] + 2));
  const z = normalQuantile((1 + (contrasts.length === 1 ? LEVEL : LEVEL ** (1 / parts.length))) / 2);
  const squares = contrasts.map((terms) => spread.map((of) => terms.reduce((sum, [i, f]) => sum + f * f * of[i], 0)));
  const values = contrasts.map((terms) => rates.map((of) => along(terms, of)));
  const lows = contrasts.map(() => -Infinity);
  let high = -Infinity;
  contrasts.forEach((one, p) => {
    let least = Infinity;
    contrasts.forEach((other, q) => {
      const common = one.reduce((sum, [i, f]) => sum + f * (other.find(([j]) => j === i)?.[1] ?? 0) * shared[i], 0);
      const half = z * Math.sqrt(Math.max(squares[p][1] + squares[q][0] - 2 * common, 0));
      const change = values[p][1] - values[q][0];
      lows[q] = Math.max(lows[q], change - half);
      least = Math.min(least, change + half);
    });
    high = Math.max(high, least);
  });
  return [Math.max(Math.min(...lows), -1), Math.min(high, 1)];
}

/** The contrasts of a gap in as many rates: of each one group's less another's, every way round. */
function pairsOf(groups, rates) {
  const found = [];
  for (let rate = 0; rate < rates; rate++)
    for (let i = 0; i < groups; i++)
      for (let j = 0; j < groups; j++) if (i !== j) found.push([[rate * groups + i, 1], [rate * groups + j, -1]]);
  return found;
}

/** The paired difference in a metric of two runs, {first, second, ends}; null of one that decisions do not tell. */
function pairedDifference(both, key) {
  const { rows } = both[0];
  const ofGroup = /^(accuracy|acceptance_rate|fnr|fpr)(?:_group(\d+))?$/.exec(key);
  const two = rows.classes === 2;
  if (ofGroup && (two || ofGroup[1] === "accuracy")) {
    const of = cellsOf(ofGroup[1], both, rows.s, rows.groups);
    const start = ofGroup[2] === undefined ? null : 4 * Number(ofGroup[2]);
    return ofShare(start === null ? summed(of) : of.slice(start, start + 4));
  }
  const ofClass = /^accuracy_class_(\d+)$/.exec(key);
  if (ofClass || key === "worst_class_accuracy") {
    const of = cellsOf("accuracy", both, rows.y, rows.classes);
    if (ofClass) return ofShare(of.slice(4 * ofClass[1], 4 * ofClass[1] + 4));
    const { first, second, ends } = ofLargest(of, Array.from({ length: rows.classes }, (_, i) => [[i, -1]]));
    return { first: -first, second: -second, ends: [-ends[1], -ends[0]] };
  }
  return differenceOfGaps(both, key);
}

function differenceOfGaps(both, key) {
  const { rows } = both[0];
  const signed = /^(accuracy|acceptance_rate|fnr|fpr)_signed_gap/.exec(key);
  if (signed) return signedDifference(both, signed[1], key.slice(signed[0].length));
  const gap = Object.keys(GAPS).find((name) => key.startsWith(name) && key.slice(name.length) in held.decisions.views);
  if (!gap || (rows.classes > 2 && gap !== "accuracy_gap")) return null;
  const places = held.decisions.views[key.slice(gap.length)];
  const groups = Math.max(...places) + 1;
  if (groups < 2) return null;
  const part = rows.s.map((group) => places[group]);
  const cells = GAPS[gap].flatMap((rate) => Array.from(cellsOf(rate, both, part, groups)));
  return ofLargest(cells, pairsOf(groups, GAPS[gap].length));
}

/** Of two groups the rate of the second less that of the first. */
function signedDifference(both, rate, end) {
  const { rows } = both[0];
  const places = held.decisions.views[end];
  if (!places || Math.max(...places) !== 1 || (rows.classes > 2 && rate !== "accuracy")) return null;
  const cells = cellsOf(rate, both, rows.s.map((group) => places[group]), 2);
  return ofLargest(cells, [[[0, -1], [1, 1]]]);
}

function summed(cells) {
  const found = [0, 0, 0, 0];
  cells.forEach((value, i) => (found[i % 4] += value));
  return found;
}

/** How many rows of a group, or of all, two runs decide otherwise, and who is right there. */
function decidedOtherwise([first, second], group = null) {
  const found = { rows: 0, different: 0, onlyFirst: 0, onlySecond: 0, firstRight: 0, secondRight: 0 };
  const { n, classes, y, s } = first.rows;
  for (let row = 0; row < n; row++) {
    if (group !== null && s[row] !== group) continue;
    const [a, b] = [first.labels[row], second.labels[row]];
    found.rows += 1;
    if (a === b) continue;
    found.different += 1;
    if (classes === 2) found[a > b ? "onlyFirst" : "onlySecond"] += 1;
    if (a === y[row]) found.firstRight += 1;
    if (b === y[row]) found.secondRight += 1;
  }
  return found;
}
