// The two pinned models side by side: their differences with intervals, and the rows that they decide otherwise.

const COMPARED = 10; // metrics at most
const OF_GROUPS = { accuracy: "accuracy", fnr: "false negative rate", fpr: "false positive rate" };

function showComparison(view) {
  const box = byId("compare");
  box.hidden = view.pins.length < 2;
  if (!box.hidden) box.replaceChildren(...comparisonOf(view.marks, view.pins));
}

function comparisonOf(marks, pins) {
  const atPoints = pins.some(marks.isPoint);
  const pairs = pairsOfSeeds(marks, pins);
  const decided = atPoints ? [] : pairs.map(([a, b]) => bothDecided(a, b));
  const whole = decided.length > 0 && decided.every(Boolean);
  const rows = comparedMetrics(marks, pins).map((key) => ({ key, ...differenceIn(marks, pins, pairs, decided, key) }));
  const [one, other] = pins.map((i, k) => `${LETTERS[k]}, ${labelOf(marks, i)}`);
  const title = element("h2", {}, `${other}, less ${one}`);
  const found = [title, paragraph("count", basisOf(marks, pins, pairs, whole)), differencesTable(rows)];
  if (!whole) return found;
  found.splice(1, 0, paragraph("finding", otherwiseInWords(decided)));
  if (decided[0][0].rows.groups > 1) found.push(groupsTable(decided));
  if (pairs.length === 1) found.push(paragraph("count", "The same in the terminal: ", element("code", {}, comparingCommand(pairs[0]))));
  return found;
}

/** The members of the two by seed: pairs of one seed, or the two themselves where they are single. */
function pairsOfSeeds(marks, [one, other]) {
  const seedOf = (i, row) => runs.seed[marks.isPoint(i) ? points.run[row] : row];
  const bySeed = new Map(marks.members(one).map((row) => [seedOf(one, row), row]));
  const found = marks.members(other).filter((row) => bySeed.has(seedOf(other, row)));
  if (found.length) return found.map((row) => [bySeed.get(seedOf(other, row)), row]);
  const alone = [one, other].every((i) => marks.members(i).length === 1);
  return alone ? [[marks.members(one)[0], marks.members(other)[0]]] : [];
}

/** The axes, the question and the first of the others that both have, as far as their figures compare. */
function comparedMetrics(marks, pins) {
  const headed = held.metrics.filter((metric) => !metric.section && metric.direction).map((metric) => metric.key);
  const wanted = new Set([...questioned(), state.x, state.y, ...headed]);
  const known = (key) => pins.every((i) => Number.isFinite(marks.value(key)[i])) && !apartOf(marks, pins, [key]);
  return [...wanted].filter(known).slice(0, COMPARED);
}

/** The figures of both, and the second less the first with its interval and how that was made. */
function differenceIn(marks, [one, other], pairs, decided, key) {
  const values = [one, other].map((i) => marks.table(i).metric(key));
  const whole = pairs.map((pair) => pair.map((row, k) => values[k][row]).every(Number.isFinite));
  const both = pairs.filter((_, i) => whole[i]).map((pair) => pair.map((row, k) => values[k][row]));
  if (both.length > 1) {
    const [first, second] = [0, 1].map((k) => average(both.map((pair) => pair[k])));
    const ends = overSeeds(both.map(([a, b]) => b - a));
    return { first, second, ends, how: `over ${both.length} seeds` };
  }
  const rows = both.length === 1 ? decided[whole.indexOf(true)] : null;
  const paired = rows ? pairedDifference(rows, key) : null;
  if (paired) return { ...paired, how: "paired" };
  const [first, second] = [one, other].map((i) => marks.value(key)[i]);
  const [a, b] = [one, other].map((i) => marks.interval(key).map((end) => end[i]));
  return { first, second, ends: ofDifference(second, b, first, a), how: "as of other rows" };
}

function basisOf(marks, pins, pairs, whole) {
  const why = whyNoRows(marks, pins);
  if (pairs.length > 1) {
    const rows = whole ? "" : ` Rows are not compared, since ${why}.`;
    return `Differences of runs of one seed, ${counted(pairs.length, "seed")}; intervals of 95 % are Student's over them.${rows}`;
  }
  if (whole) return "Paired intervals are of 95 %, over the same test rows; others are as if the rows were different, so they are too wide.";
  return `Compared by their figures, since ${why}: intervals of 95 % are as of different rows.`;
}

/** Why two models are not compared row by row. */
function whyNoRows(marks, pins) {
  if (pins.some(marks.isPoint)) return "no decisions are kept at operating points";
  if (held.decisions.full) return "this page does not hold the decisions of all runs";
  const missing = pins.flatMap((i) => marks.runsOf(i)).filter((run) => !held.decisions.of[run]);
  const named = missing.map((run) => runs.id[run]).join(", ");
  if (!missing.length) return "they were judged on different test rows";
  const [record, keeps] = missing.length > 1 ? ["records", "keep"] : ["record", "keeps"];
  return `${record} ${named} ${keeps} no decisions, or their file is missing or not what it was (python -m evals.database check tells)`;
}

function otherwiseInWords(decided) {
  const found = decided.map((both) => decidedOtherwise(both));
  const sum = (key) => found.reduce((total, of) => total + of[key], 0);
  const [rows, different] = [sum("rows"), sum("different")].map((n) => n.toLocaleString("en"));
  const seeds = decided.length > 1 ? `, of ${counted(decided.length, "seed")} together,` : "";
  const [a, b] = LETTERS;
  const alone = decided[0][0].rows.classes > 2 ? "" : ` ${sum("onlyFirst")} get ${held.decisions.one} from ${a} alone, ${sum("onlySecond")} from ${b} alone.`;
  const share = (100 * sum("different")) / sum("rows");
  return `Of the same ${rows} test rows${seeds} they decide ${different} otherwise (${share.toFixed(1)} %).${alone} Where they differ, ${a} is right on ${sum("firstRight")}, ${b} on ${sum("secondRight")}.`;
}

function differencesTable(rows) {
  const head = ["metric", ...LETTERS, `${LETTERS[1]} − ${LETTERS[0]}`, "95 % interval", "how"];
  const lines = rows.map(({ key, first, second, ends, how }) => {
    const cells = [first, second].map((value) => inUnits(key, value, ends));
    const sure = ends[0] > 0 || ends[1] < 0;
    const change = element(sure ? "strong" : "span", {}, signedInUnits(key, second - first, ends));
    return [briefly(key), ...cells, change, rangeInUnits(key, ends), how];
  });
  return scrolling("Differences", tableOf(head, lines));
}

/** Group by group: how many rows are decided otherwise, and what changes. */
function groupsTable(decided) {
  const { groups, classes } = decided[0][0].rows;
  const rates = classes === 2 ? Object.keys(OF_GROUPS) : ["accuracy"];
  const [a, b] = LETTERS;
  const head = ["Group", "rows", "otherwise", ...(classes === 2 ? [`only ${a}`, `only ${b}`] : []), ...rates.map((rate) => `${OF_GROUPS[rate]}, ${b} − ${a}`)];
  const lines = Array.from({ length: groups }, (_, group) => {
    const found = decided.map((both) => decidedOtherwise(both, group));
    const sum = (key) => found.reduce((total, of) => total + of[key], 0);
    const share = sum("rows") ? `${((100 * sum("different")) / sum("rows")).toFixed(1)} %` : "–";
    const alone = classes === 2 ? [String(sum("onlyFirst")), String(sum("onlySecond"))] : [];
    const name = held.decisions.names.length === groups ? held.decisions.names[group] : `group ${group}`;
    return [name, sum("rows").toLocaleString("en"), share, ...alone, ...rates.map((rate) => changeOfGroup(decided, rate, group))];
  });
  return scrolling("Groups", tableOf(head, lines));
}

function changeOfGroup(decided, rate, group) {
  const each = decided.map((both) => pairedDifference(both, `${rate}_group${group}`)).filter(({ first }) => Number.isFinite(first));
  if (!each.length) return "–";
  const changes = each.map(({ first, second }) => second - first);
  const ends = each.length > 1 ? overSeeds(changes) : each[0].ends;
  const change = signedInUnits(rate, average(changes), ends);
  return element(ends[0] > 0 || ends[1] < 0 ? "strong" : "span", {}, [change, rangeInUnits(rate, ends)].filter(Boolean).join(" "));
}

/** `+0.7`, with a true minus; of a percentage in points. */
function signedInUnits(key, value, ends) {
  const times = isPercentage(key) ? 100 : 1;
  const decimals = decimalsOf(ends.map((end) => end * times), isPercentage(key) ? 1 : NO_INTERVAL);
  const text = (times * value).toFixed(decimals);
  const sign = Number(text) > 0 ? "+" : "";
  return `${sign}${Number(text) === 0 ? text.replace("-", "") : text}`.replace("-", "\u2212");
}

function tableOf(head, lines) {
  const columns = head.map((words, i) => element("th", { scope: "col", class: i ? "number" : "" }, words));
  const body = lines.map(([first, ...others]) =>
    element("tr", {}, element("th", { scope: "row" }, first), ...others.map((cell) => element("td", { class: "number" }, cell))),
  );
  return element("table", {}, element("thead", {}, element("tr", {}, ...columns)), element("tbody", {}, ...body));
}

function scrolling(name, table) {
  return element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${name}; scrolls sideways` }, table);
}

function comparingCommand([a, b]) {
  return `${held.decisions.command} ids=${runs.id[a]},${runs.id[b]}`;
}
