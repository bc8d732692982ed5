// Figures for a reader: as many digits as their interval allows.

const NO_INTERVAL = 4; // decimals of a figure of which no interval is known
const MOST_DIGITS = 6;

/** The decimals of a figure: those that leave two digits of half the width of its interval [low, high]. */
function decimalsOf(ends, unknown = NO_INTERVAL) {
  const half = ends ? (ends[1] - ends[0]) / 2 : NaN;
  if (!Number.isFinite(half) || half <= 0) return unknown;
  return Math.max(0, Math.min(MOST_DIGITS, 1 - Math.floor(Math.log10(half) + 1e-9)));
}

/** A number with so many decimals, of which no zero has a minus. */
function fixed(value, decimals) {
  const text = value.toFixed(decimals);
  return Number(text) === 0 ? text.replace("-", "") : text;
}

/** A figure: as many decimals as its interval allows; four, or four digits where it is large, where none is known. */
function figure(value, ends = null) {
  if (!Number.isFinite(value)) return "–";
  if (ends && Number.isFinite(ends[1] - ends[0]) && ends[1] > ends[0]) return fixed(value, decimalsOf(ends));
  if (value !== 0 && Math.abs(value) < 0.00005) return value.toExponential(1);
  return Math.abs(value) >= 100 ? String(Math.round(value)) : fixed(value, Math.abs(value) >= 10 ? 2 : NO_INTERVAL);
}

/** `[0.661, 0.757]`, or nothing where an end is not known. */
function bracketed(ends, times = 1) {
  if (!ends.every(Number.isFinite)) return "";
  const decimals = decimalsOf(ends.map((end) => end * times));
  return `[${ends.map((end) => fixed(end * times, decimals)).join(", ")}]`.replaceAll("-", "\u2212");
}

/** Whether a metric is a share of which more is better, which is read in percent. */
function isPercentage(key) {
  const metric = METRIC.get(key);
  return directionOf(key) > 0 && metric.bounds[0] === 0 && metric.bounds[1] === 1;
}

/** A metric in few words: of a difference not between whom, where no other metric is called the same. */
function shortly(key) {
  const short = withoutWhom(key);
  return namesInUse("all").get(short) > 1 ? briefly(key) : short;
}

function withoutWhom(key) {
  return briefly(key).replace(/ between [^,]*$/, "");
}

const namesInUse = rememberedOfData(() => {
  const counts = new Map();
  for (const key of METRIC.keys()) counts.set(withoutWhom(key), (counts.get(withoutWhom(key)) || 0) + 1);
  return counts;
});

/** `70.5 %` of a share, else the figure. */
function inUnits(key, value, ends) {
  if (!isPercentage(key) || !Number.isFinite(value)) return figure(value, ends);
  return `${(100 * value).toFixed(
    decimalsOf(
      ends.map((end) => 100 * end),
      1,
    ),
  )}\u00a0%`;
}

/** `[68.9, 72.1]`, in the unit of the figure. */
function rangeInUnits(key, ends) {
  return bracketed(ends, isPercentage(key) ? 100 : 1);
}

/** `0.7 points of accuracy`, or so much of a metric that is no percentage. */
function amountOf(key, value, ends) {
  if (!isPercentage(key)) return `${figure(value, ends)} of ${shortly(key)}`;
  const points = (100 * value).toFixed(
    decimalsOf(
      ends.map((end) => 100 * end),
      1,
    ),
  );
  return `${points} point${points === "1" ? "" : "s"} of ${shortly(key)}`;
}
