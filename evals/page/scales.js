// From numbers to pixels: scales with rounded ticks, and how far an axis reaches.

/** A linear scale from numbers to pixels, with rounded ticks. */
function scale(from, to, start, end, count) {
  const span = to - from || Math.abs(to) * 0.1 || 1;
  const raw = span / Math.max(count, 1);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].find((s) => s * power >= raw * 0.999) * power;
  const ticks = [];
  for (let k = Math.ceil(from / step - 1e-9); k * step <= to + 1e-9 * span; k++) ticks.push(k * step);
  const digits = Math.max(
    0,
    Math.min(10, Math.ceil(-Math.log10(step) + (Math.abs(step / power - 2.5) < 1e-9 ? 1 : 0) - 1e-9)),
  );
  const slope = (end - start) / span;
  const at = (value) => start + (value - from) * slope;
  const value = (pixel) => from + (pixel - start) / slope;
  return { at, value, ticks, from, to, label: (tick) => (Math.abs(tick) < 1e-12 ? 0 : tick).toFixed(digits) };
}

/** The pixel of every value (n,). */
function pixels(values, along) {
  const found = new Float32Array(values.length);
  for (let i = 0; i < found.length; i++) found[i] = along.at(values[i]);
  return found;
}

const LEAST = 0.04; // of an axis of shares: what differs by less is not looked at closer

/**
 * How far an axis, 0 or 1, reaches: least and greatest of the shown values, with room about them and more of it towards
 * the better end, and no farther than the metric can. Of few marks all of their intervals is seen; else ends of intervals
 * and reference lines may widen the reach by half its span, and what lies farther off is marked at the edge.
 */
function extentOf(view, k) {
  const [values, axis] = [k ? view.ys : view.xs, k ? "y" : "x"];
  const [least, most] = METRIC.get(view.keys[k]).bounds;
  const lines = view.references.filter((line) => line.axis === axis).flatMap((line) => [line.low, line.high]);
  const ends = view.bars
    ? view.shown.filter((i) => plot.standsOut(i)).flatMap((i) => view.bars[k].map((of) => of[i]))
    : [];
  const own = view.shown.map((i) => values[i]);
  const [seen, others] = view.shown.length <= FEW ? [[...own, ...ends], lines] : [own, [...ends, ...lines]];
  const [low, high] = extent(seen, view.signs[k], others, least !== null && most !== null ? LEAST : 0);
  return [Math.max(low, least ?? low), Math.min(high, most ?? high)];
}

/** Such a reach of values, without the limits of the metric; at least `least` wide, `others` within half its span. */
function extent(values, sign, others, least) {
  let [low, high] = [Infinity, -Infinity];
  const take = (value) => {
    if (!Number.isFinite(value)) return;
    if (value < low) low = value;
    if (value > high) high = value;
  };
  for (const value of values) take(value);
  if (!Number.isFinite(low)) [low, high] = [0, 1];
  const span = Math.max(high - low, least) || Math.abs(high) * 0.1 || 1;
  const within = [low - 0.5 * span, high + 0.5 * span];
  for (const value of others) if (value > within[0] && value < within[1]) take(value);
  const lacking = Math.max(0, span - (high - low)) / 2;
  [low, high] = [low - lacking, high + lacking];
  const room = high - low;
  return [low - (sign < 0 ? 0.1 : 0.06) * room, high + (sign > 0 ? 0.1 : 0.06) * room];
}
