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

/**
 * Least and greatest of the shown values, with room about them and more of it towards the better end. Ends of
 * intervals and reference lines may widen that by half their span; what lies farther off is marked at the edge.
 */
function extent(values, shown, sign, ends, lines) {
  let [low, high] = [Infinity, -Infinity];
  const take = (value) => {
    if (!Number.isFinite(value)) return;
    if (value < low) low = value;
    if (value > high) high = value;
  };
  for (const i of shown) take(values[i]);
  if (!Number.isFinite(low)) [low, high] = [0, 1];
  const span = high - low || Math.abs(high) * 0.1 || 1;
  const within = (room) => [low - room * span, high + room * span];
  for (const [extra, [least, most]] of [
    [ends, within(0.5)],
    [lines, within(0.5)],
  ]) {
    for (const value of extra) if (value > least && value < most) take(value);
  }
  const room = high - low || Math.abs(high) * 0.1 || 1;
  return [low - (sign < 0 ? 0.1 : 0.06) * room, high + (sign > 0 ? 0.1 : 0.06) * room];
}
