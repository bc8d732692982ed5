// Efficient marks and the boundary of what is attained; the same rules as evals/records/pareto.py, for two objectives.

/**
 * Mask (n,) of the efficient ones of the `shown` marks: none is at least as good in both and better in one.
 * Ties and duplicates stay together; NaN is never efficient. O(n log n): a running best along the falling first.
 */
function efficientMask(xs, ys, signs, shown) {
  const mask = new Uint8Array(xs.length);
  const [sx, sy] = signs;
  const known = undominatedByBins(
    xs,
    ys,
    signs,
    shown.filter((i) => !Number.isNaN(xs[i]) && !Number.isNaN(ys[i])),
  );
  known.sort((a, b) => (xs[b] - xs[a]) * sx || (ys[b] - ys[a]) * sy);
  let before = -Infinity; // the best y of all that are strictly better in x
  let some = false; // whether there are any: the best may itself be -Infinity
  for (let start = 0; start < known.length;) {
    const x = xs[known[start]];
    const top = ys[known[start]] * sy;
    let end = start;
    for (; end < known.length && xs[known[end]] === x; end++) {
      if (ys[known[end]] * sy === top && (!some || top > before)) mask[known[end]] = 1;
    }
    before = some ? Math.max(before, top) : top;
    some = true;
    start = end;
  }
  return mask;
}

const BINS = 512;

/**
 * Those of the marks that the best y of no better bin of x reaches, in O(n): few are left to be sorted. Whatever is
 * left out is dominated.
 */
function undominatedByBins(xs, ys, signs, known) {
  let [low, high] = [Infinity, -Infinity];
  for (const i of known) {
    if (xs[i] < low) low = xs[i];
    if (xs[i] > high) high = xs[i];
  }
  if (known.length < 2 * BINS || !Number.isFinite(high - low) || high === low) return known;
  const bin = (x) => Math.floor(((signs[0] > 0 ? high - x : x - low) / (high - low)) * (BINS - 1)); // 0 is the best
  const reached = new Float64Array(BINS + 1).fill(-Infinity); // by all bins before
  for (const i of known) reached[bin(xs[i]) + 1] = Math.max(reached[bin(xs[i]) + 1], ys[i] * signs[1]);
  for (let b = 1; b <= BINS; b++) reached[b] = Math.max(reached[b], reached[b - 1]);
  return known.filter((i) => !(reached[bin(xs[i])] >= ys[i] * signs[1]) || ys[i] * signs[1] === -Infinity);
}

/**
 * Vertices [x, y] of the boundary of the attainable set, along rising x: the efficient marks and, between two, the
 * worse of both in each objective.
 */
function staircase(xs, ys, signs, mask) {
  const front = [];
  for (let i = 0; i < mask.length; i++) if (mask[i]) front.push([xs[i], ys[i]]);
  front.sort((a, b) => a[0] - b[0]);
  const steps = [];
  for (const point of front) {
    const last = steps.at(-1);
    if (last && last[0] === point[0]) continue; // a duplicate
    // along rising x the second objective falls where more of x is better, and improves where less is
    if (last) steps.push(signs[0] > 0 ? [last[0], point[1]] : [point[0], last[1]]);
    steps.push(point);
  }
  return steps;
}
