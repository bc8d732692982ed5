// Intervals: of means over seeds by Student's t, of single runs over their test rows as filed, and at any level from the
// counts that are filed; the rules of evals/records/seed_intervals.py and utils/metrics/intervals.py, which tests
// compare with these.

/** Student's interval of the mean (Student 1908); none of one value, nor where all are the same but for rounding. */
function overSeeds(values, [least, most] = [null, null]) {
  const middle = average(values);
  const spread = Math.max(...values) - Math.min(...values);
  if (values.length < 2 || spread < 1e-9) return [NaN, NaN];
  const squares = values.reduce((sum, value) => sum + (value - middle) ** 2, 0);
  const half = held.student[values.length - 2] * Math.sqrt(squares / (values.length - 1));
  const ends = [Math.min(least ?? -Infinity, middle), Math.max(most ?? Infinity, middle)];
  return [Math.max(middle - half, ends[0]), Math.min(middle + half, ends[1])];
}

function average(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** The interval of a - b from those of two independent figures (Zou and Donner 2008, Statistics in Medicine 27:1693). */
function ofDifference(a, [lowA, highA], b, [lowB, highB]) {
  const d = a - b;
  return [d - Math.hypot(a - lowA, highB - b), d + Math.hypot(highA - a, b - lowB)];
}

// --- at any level ------------------------------------------------------------------------------------------------

/**
 * The interval at a level of a metric of a run or point, the `row` of a table of them; NaN where no counts are filed
 * with it, or where it has no width.
 */
function atLevel(table, key, row, level) {
  const value = table.metric(key)[row];
  const found = Number.isNaN(value)
    ? null
    : fromCounts(table, key, row, level) || fromDeviation(table, key, row, level);
  return found && found[0] !== found[1] ? found : [NaN, NaN];
}

function fromCounts(table, key, row, level) {
  const [kind, all] = METRIC.get(key).made || [null, []];
  const families = all.map((family) => family.filter((part) => table.whole(part)[row] > 0));
  if (!kind || !families.every((family) => family.length) || (kind === "signed" && families[0].length !== 2))
    return null;
  const parts = families.reduce((n, family) => n + family.length, 0);
  const own = kind === "gap" || kind === "worst" ? level ** (1 / parts) : level;
  const counts = (part) => [table.part(part)[row], table.whole(part)[row]];
  const limits = families.map((family) => family.map((part) => clopperPearson(...counts(part), own)));
  if (kind === "share") return limits[0][0];
  if (kind === "signed")
    return newcombe(
      families[0].map((part) => counts(part)[0] / counts(part)[1]),
      limits[0],
    );
  const ends = limits.map((family) => [family.map(([low]) => low), family.map(([, high]) => high)]);
  if (kind === "worst") return [Math.min(...ends[0][0]), Math.min(...ends[0][1])];
  const gaps = ends.map(([lows, highs]) => [
    Math.max(0, Math.max(...lows) - Math.min(...highs)),
    Math.max(...highs) - Math.min(...lows),
  ]);
  return [Math.max(...gaps.map(([low]) => low)), Math.max(...gaps.map(([, high]) => high))];
}

/** The second share less the first (Newcombe 1998, Statistics in Medicine 17:873). */
function newcombe([zeroth, first], [[low0, high0], [low1, high1]]) {
  const [low, high] = ofDifference(first, [low1, high1], zeroth, [low0, high0]);
  return [Math.max(-1, low), Math.min(1, high)];
}

function fromDeviation(table, key, row, level) {
  const half = normalQuantile((1 + level) / 2) * table.deviation(key)[row];
  const [least, most] = METRIC.get(key).bounds;
  const value = table.metric(key)[row];
  if (Number.isNaN(half)) return null;
  return [Math.max(value - half, least ?? -Infinity), Math.min(value + half, most ?? Infinity)];
}

const limitsOfShares = new Map(); // by share and level: a dial that moves asks for the same ones again

/** The limits of a share of rows (Clopper and Pearson 1934); of a fraction, those of the whole numbers around it. */
function clopperPearson(part, whole, level) {
  const name = `${part}/${whole}/${level}`;
  if (!limitsOfShares.has(name)) {
    const [least, most, tail] = [Math.floor(part), Math.ceil(part), (1 - level) / 2];
    const low = least === 0 ? 0 : betaQuantile(tail, least, whole - least + 1);
    limitsOfShares.set(name, [low, most === whole ? 1 : 1 - betaQuantile(tail, whole - most, most + 1)]);
  }
  return limitsOfShares.get(name);
}

/** The x with I_x(a, b) = p, p a small tail: Newton's steps on the logarithm of x, halved where they leave (0, 1). */
function betaQuantile(p, a, b) {
  let [from, to] = [0, a / (a + b)]; // a small tail ends below the mean
  if (betaTail(to, a, b) < p) [from, to] = [to, 1];
  let x = (from + to) / 2;
  for (let i = 0; i < 200 && to - from > 1e-14 * to; i++) {
    const past = betaTail(x, a, b) - p;
    if (past > 0) to = x;
    else from = x;
    const slope = Math.exp((a - 1) * Math.log(x) + (b - 1) * Math.log1p(-x) - logBeta(a, b));
    const next = x - past / slope;
    if (Math.abs(next - x) < 1e-15) return next;
    x = next > from && next < to ? next : (from + to) / 2;
  }
  return x;
}

/** The regularised incomplete beta function I_x(a, b), by its continued fraction (Lentz's way). */
function betaTail(x, a, b) {
  if (x <= 0 || x >= 1) return x <= 0 ? 0 : 1;
  if (x > (a + 1) / (a + b + 2)) return 1 - betaTail(1 - x, b, a);
  const front = Math.exp(a * Math.log(x) + b * Math.log1p(-x) - logBeta(a, b)) / a;
  let [c, d] = [1, 1 / away(1 - ((a + b) * x) / (a + 1))];
  let sum = d;
  for (let m = 1; m < 10000; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    let step = 1;
    for (const term of [even, odd]) {
      d = 1 / away(1 + term * d);
      c = away(1 + term / c);
      step = c * d;
      sum *= step;
    }
    if (Math.abs(step - 1) < 1e-15) break;
  }
  return front * sum;
}

function away(value) {
  return Math.abs(value) < 1e-300 ? 1e-300 : value;
}

function logBeta(a, b) {
  return logGamma(a) + logGamma(b) - logGamma(a + b);
}

const LANCZOS = [
  676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059, 12.507343278686905,
  -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
];

/** log Gamma(x), x >= 1 (Lanczos 1964; of large ones Stirling's series, which cancels less). */
function logGamma(x) {
  if (x > 20) {
    const inverse = 1 / x;
    const series = inverse * (1 / 12 - inverse ** 2 * (1 / 360 - inverse ** 2 * (1 / 1260 - inverse ** 2 / 1680)));
    return (x - 0.5) * Math.log(x) - x + 0.5 * Math.log(2 * Math.PI) + series;
  }
  const t = x + 6.5;
  const sum = LANCZOS.reduce((total, factor, i) => total + factor / (x + i), 0.99999999999980993);
  return 0.5 * Math.log(2 * Math.PI) + (x - 0.5) * Math.log(t) - t + Math.log(sum);
}

/** The quantile of the standard normal distribution, p > .5: bisection on its upper tail. */
const normalQuantile = remembered((p) => {
  let [from, to] = [0, 40];
  for (let i = 0; i < 100; i++) {
    const middle = (from + to) / 2;
    if (normalTail(middle) > 1 - p) from = middle;
    else to = middle;
  }
  return (from + to) / 2;
});

/** P(Z > z), z >= 0: the series about 0, or the continued fraction far out (Abramowitz and Stegun 26.2.10, 26.2.14). */
function normalTail(z) {
  const density = Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI);
  if (z > 3) {
    let fraction = z;
    for (let k = 200; k > 0; k--) fraction = z + k / fraction;
    return density / fraction;
  }
  let [term, sum] = [z, z];
  for (let k = 1; k < 200; k++) sum += term *= (z * z) / (2 * k + 1);
  return 0.5 - density * sum;
}
