// The record of one mark: what tells it apart, its metrics, the command that trains it, the line that loads it.

/** A mark by its name, as evals.select says it: its setting, in the view of runs its seed, its thresholds. */
function labelOf(marks, i) {
  const seed = state.seeds === "runs" ? `seed ${runs.seed[marks.first(i)] ?? "?"}` : "";
  return [settings.label[marks.setting(i)], seed, policyOf(marks, i)].filter(Boolean).join(", ");
}

function seedsOf(marks, i) {
  const of = marks.runsOf(i);
  const seeds = of.map((run) => runs.seed[run] ?? "?");
  if (state.seeds === "runs") return `seed ${seeds[0]}`;
  return of.length === 1 ? `seed ${seeds[0]}` : `${of.length} seeds`;
}

/** `fitted to fnr_gap<=0.1`: what the thresholds of an operating point were fitted to. */
function policyOf(marks, i) {
  const policy = marks.policy(i);
  if (policy === null) return "";
  return policy.startsWith("any ") ? `fitted without a limit on ${policy.slice(4)}` : `fitted to ${policy}`;
}

/**
 * What the thresholds of the run that is handed out were fitted to, there and on the test rows, gap by gap: {words,
 * crossed}, crossed where the test gap or its interval reaches beyond the limit.
 */
function fitsAt(marks, i, level) {
  const { row, own } = handedOut(marks, i, level);
  const { keys, limit, fitted } = marks.isPoint(i) ? points.fit : runs.fit;
  return (keys[row] || "")
    .split("+")
    .filter(Boolean)
    .map((key) => {
      const [low, high, value] = [own(`${key}_low`), own(`${key}_high`), own(key)];
      const there = Number.isNaN(fitted[row]) ? "" : ` (${figure(fitted[row])} on those rows)`;
      const interval = bracketed([low, high]) && ` ${bracketed([low, high])}`;
      const crossed = value > limit[row] ? ", which exceeds" : high > limit[row] ? ", whose interval crosses" : "";
      const end = crossed ? `${crossed} ${limit[row]}` : "";
      return {
        words: `fitted to ${key}<=${limit[row]}${there}; test ${figure(value, [low, high])}${interval}${end}`,
        crossed: end !== "",
      };
    });
}

/** A parameter's key as short as it can be told from the others. */
const shortName = rememberedOfData((key) => {
  if (key === "epsilon.radius") return "radius";
  const parts = key.split(".");
  const keys = held.settings.differs;
  for (let n = 1; n < parts.length; n++) {
    const tail = parts.slice(-n).join(".");
    if (keys.every((other) => other === key || !`.${other}`.endsWith(`.${tail}`))) return tail;
  }
  return key;
});

/** The parameters that differ between settings, of one of them: [key, value]. */
function differing(setting) {
  const pairs = held.settings.differs.map((key) => [key, settings.param(key)[setting]]);
  return pairs.filter(([, value]) => value !== null && value !== undefined);
}

const WHOLE = /^-?\d+$/;

/** The line for a shell that trains a mark's runs; null where there is none. Of the runs it holds their numbers alone. */
function commandOf(marks, i) {
  const setting = marks.setting(i);
  const line = settings.command[setting];
  const seeds = marks.runsOf(i).map((run) => runs.seed[run]);
  if (line === null || !seeds.every((seed) => WHOLE.test(seed))) return null;
  const remark = settings.remark[setting] || "";
  if (state.seeds === "runs" || seeds.length === 1)
    return `${line}${settings.alone[setting]} seed=${seeds[0]}${remark}`;
  return `${line.replace("train.py", "train.py -m")} seed=${seeds.join(",")}${remark}`;
}

/** Why there is no such line. */
function lostOf(marks, i) {
  return settings.lost[marks.setting(i)] ?? "no command gives it: a seed of these runs is no whole number";
}

/** The line that loads the run of a mark that is handed out; null where it came without weights. */
function loadingOf(marks, i, level) {
  const { run, row } = handedOut(marks, i, level);
  const point = marks.isPoint(i) ? `, point=${points.number[row]}` : "";
  return runs.loads[run] ? `from_database(${runs.id[run]}, ${JSON.stringify(held.dataset)}${point})` : null;
}

/** Which run is handed out, and why: that it meets every requirement itself, or that no single run does. */
function handedWords(marks, i, level, withFigures = true) {
  const handed = handedOut(marks, i, level);
  const sure = level === null ? "" : " for sure";
  const name = `Record ${runs.id[handed.run]}${runs.seed[handed.run] === null ? "" : `, seed ${runs.seed[handed.run]}`}`;
  const keys = handed.missed.length ? handed.missed.map((need) => need.key) : questioned();
  const own = [...new Set(keys)].map((key) => ownFigure(handed, key)).join(", ");
  const few = handed.of > 1 ? "of its seeds the nearest to the mean" : "";
  const named = withFigures ? `${name}, with ${own}` : name;
  if (!state.needs.length) return [named, few].filter(Boolean).join(": ") + ".";
  if (handed.missed.length) {
    const every = state.needs.map(inWords).join(" and ") + (state.needs.length > 1 ? " together" : "");
    return handed.of > 1
      ? `No single run of this setting meets ${every}${sure}. ${name} is the nearest, with ${own}.`
      : `${name} does not meet ${handed.missed.map(inWords).join(" and ")}${sure}: ${own}.`;
  }
  const met = `${handed.meeting} of ${handed.of} seeds meet every requirement${sure || " by themselves"}`;
  const mine = `${met}, of these the nearest to the mean`;
  return `${named}${handed.of > 1 ? `: ${mine}` : ""}.${level === null ? crossedBy(handed) : ""}`;
}

/** That the interval of the run that is handed out crosses a limit that its figure meets. */
function crossedBy(handed) {
  const reach = state.needs.filter((need) => crosses(handed, need)).map(inWords);
  const whose = `The interval of record ${runs.id[handed.run]} over the test rows`;
  return reach.length ? ` ${whose} crosses ${reach.join(" and ")}.` : "";
}

function ownFigure(handed, key) {
  const ends = [handed.own(`${key}_low`), handed.own(`${key}_high`)];
  return `${briefly(key)} ${figure(handed.own(key), ends)}`;
}

/** `difference in false negative rate ≤ 0.1` */
function inWords({ key, sign, value }) {
  return `${shortly(key)} ${sign > 0 ? "≥" : "≤"} ${value}`;
}

function showRecord(view) {
  const panel = byId("record");
  const i = view.picked;
  panel.classList.toggle("empty", i < 0);
  if (i < 0) {
    const how = "Click a mark or a row, or move with the arrow keys in the plot and press Enter. P pins a model.";
    panel.replaceChildren(element("h2", {}, "Record"), element("p", { class: "hint" }, how));
    return;
  }
  const { marks } = view;
  const setting = marks.setting(i);
  panel.replaceChildren(
    closeButton(),
    element("h2", {}, swatch(lookOfSetting(setting), 18), element("span", {}, ...breaking(labelOf(marks, i)))),
    element("p", { class: "sub" }, subtitle(view, i)),
    pinButton(codeOf(marks, i)),
    ...warningsOf(view, i),
    definitions(tellingApart(setting)),
    headlineTable(view, i),
    ...rangesOf(marks, i),
    ...poisonOf(marks, i),
    ...explainedOf(marks, i),
    ...commandBlocks(view, i),
    details("All metrics", () => metricTable(marks, i, held.metrics)),
    details("All settings", () => definitions(allParams(setting))),
  );
}

function closeButton() {
  const close = { type: "button", class: "icon close", "aria-label": "close the record", onclick: () => pickMark(-1) };
  return element("button", close, "\u00d7");
}

function pinButton(code) {
  const pinned = state.pins.includes(code);
  const act = { type: "button", class: "quiet pin", "aria-pressed": String(pinned), onclick: () => pin(code) };
  return element("button", act, pinned ? "Unpin" : "Pin");
}

function subtitle(view, i) {
  const { marks } = view;
  const of = marks.runsOf(i);
  const ids =
    of.length > 6
      ? `${of
          .slice(0, 5)
          .map((run) => runs.id[run])
          .join(", ")}, …`
      : of.map((run) => runs.id[run]).join(", ");
  const day = (runs.created[marks.first(i)] || "").slice(0, 10);
  const name = runs.name[marks.first(i)];
  const words = [`record${of.length > 1 ? "s" : ""} ${ids}`, seedsOf(marks, i), policyOf(marks, i), name, day];
  if (view.mask[i]) words.push("efficient");
  if (state.needs.length) words.push(view.permitted[i] ? "permitted" : "not permitted");
  return words.filter(Boolean).join(" · ");
}

function warningsOf({ marks, level }, i) {
  const same = asSentence(constancyOf((key) => marks.value(key)[i]));
  const own = new Set(marks.runsOf(i).map((run) => runs.warnings[run]));
  const fits = fitsAt(marks, i, level);
  const known = !marks.isPoint(i) && [...own].some((text) => text && text.includes("fitted to")); // as filed
  const beyond = fits.filter((fit) => fit.crossed && !known).map((fit) => `Thresholds ${fit.words}.`);
  const said = [same, ...own, ...beyond].filter(Boolean).join("\n");
  const kept = fits
    .filter((fit) => !fit.crossed)
    .map((fit) => element("p", { class: "hint" }, `Thresholds ${fit.words}.`));
  return [...(said ? [element("p", { class: "warning" }, said)] : []), ...kept];
}

function asSentence(text) {
  return text && `${text[0].toUpperCase()}${text.slice(1)}.`;
}

/** How far the unfair areas of a mark's runs hang on the causal model, where that was judged. */
function rangesOf(marks, i) {
  const of = marks.isPoint(i) ? [] : marks.runsOf(i).filter((run) => runs.ranges[run] !== null);
  return of.flatMap((run) =>
    runs.ranges[run].flatMap(([sentence, key, rows]) => [
      element("p", { class: "hint" }, sentence),
      details(`${key} under causal models, seed ${runs.seed[run] ?? "?"}`, () => figureTable("causal model", rows)),
    ]),
  );
}

/** What was added to the training rows of a mark's runs, and what it changed. */
function poisonOf(marks, i) {
  const of = marks.runsOf(i).filter((run) => runs.poison[run] !== null);
  return of.map((run) => details(`Added rows, seed ${runs.seed[run] ?? "?"}`, () => definitions(runs.poison[run])));
}

/** People whom a mark's runs decide about, explained, where the page was made with explain=. */
function explainedOf(marks, i) {
  const of = marks.isPoint(i) ? [] : marks.runsOf(i).filter((run) => runs.explained[run] !== null);
  return of.flatMap((run) =>
    runs.explained[run].map(([title, lines, src]) =>
      details(`A person explained, record ${runs.id[run]}: ${title}`, () => explanation(lines, src)),
    ),
  );
}

function explanation(lines, src) {
  const paragraphs = lines.map(([depth, text]) => element("p", { class: `depth${depth}` }, text));
  const picture = element("img", { src, alt: "the person and its twin on the causal graph" });
  return element("div", { class: "explained" }, picture, ...paragraphs);
}

/** What differs between runs: options first, then settings. */
function tellingApart(setting) {
  const options = usedFacets()
    .filter((f) => f !== "radius")
    .map((facet) => [TITLE(facet), facetOf(facet, setting)]);
  return [
    ...options,
    ...differing(setting)
      .filter(([key]) => key !== "experiment")
      .map(([key, value]) => [shortName(key), value, key]),
  ];
}

function allParams(setting) {
  const own = Object.keys(held.settings.params).map((key) => [key, settings.param(key)[setting]]);
  const pairs = [...own.filter(([, value]) => value !== null), ...Object.entries(held.settings.shared)];
  return pairs.sort((a, b) => (a[0] < b[0] ? -1 : 1));
}

function definitions(pairs) {
  const rows = pairs.flatMap(([key, value, full]) => [
    element("dt", full ? { title: full } : {}, key),
    element("dd", {}, String(value)),
  ]);
  return element("dl", {}, ...rows);
}

/** The axes first, then the other headlines. */
function headlineTable(view, i) {
  const keys = new Set([state.x, state.y, ...state.needs.map((need) => need.key), state.objective]);
  const first = [...keys].map((key) => METRIC.get(key));
  const rest = held.metrics.filter((metric) => !metric.section && !keys.has(metric.key));
  return metricTable(view.marks, i, [...first, ...rest]);
}

function metricTable(marks, i, metrics) {
  const rows = metrics.map(({ key, words }) => {
    const value = marks.value(key)[i];
    const [low, high] = marks.interval(key).map((ends) => ends[i]);
    if (Number.isNaN(value)) return null;
    const interval = bracketed([low, high]);
    return [words, figure(value, [low, high]), interval, key];
  });
  return figureTable("metric", rows.filter(Boolean));
}

/** A table of [name, value, interval], and for whoever points at a name what it is short for. */
function figureTable(what, rows) {
  const lines = rows.map(([name, value, interval, title]) =>
    element(
      "tr",
      {},
      element("th", title ? { scope: "row", title } : { scope: "row" }, name),
      element("td", {}, value),
      element("td", { class: "interval" }, interval),
    ),
  );
  const head = element(
    "tr",
    {},
    element("th", { scope: "col" }, what),
    element("th", { scope: "col" }, "value"),
    element("th", { scope: "col" }, "95 % interval"),
  );
  return element("table", { class: "metrics" }, element("thead", {}, head), element("tbody", {}, ...lines));
}

function commandBlocks({ marks, level }, i) {
  const line = commandOf(marks, i);
  const loading = loadingOf(marks, i, level);
  const blocks = [
    line === null ? element("p", { class: "hint" }, lostOf(marks, i)) : block("Train it again", line, "command"),
  ];
  if (loading) blocks.push(block("Load it", loading, "loading"));
  if (loading && (state.seeds === "mean" || state.needs.length))
    blocks.push(element("p", { class: "hint handed" }, handedWords(marks, i, level)));
  return blocks;
}

function block(title, text, kind) {
  const button = element("button", { type: "button", class: "quiet", "aria-label": `copy: ${title}` }, "Copy");
  button.addEventListener("click", () => copy(text, button));
  return element(
    "div",
    { class: `block ${kind}` },
    element("div", { class: "head" }, element("h3", {}, title), button),
    element("code", { tabindex: "0" }, text),
  );
}

/** A part that is filled by the click that opens it: `toggle` comes later, and would show it empty first. */
function details(title, make) {
  const summary = element("summary", {}, title);
  const made = element("details", {}, summary);
  summary.addEventListener("click", () => made.append(make()), { once: true });
  return made;
}

const NEARLY = 0.05; // of the rows of a class, which a nearly constant prediction gets right

/**
 * What a mark's figures say of a constant prediction, as evals/choosing/choice_text.py has it: that it is one, nearly
 * one, or nothing. `own` gives its metrics by key.
 */
function constancyOf(own) {
  const recall = own("worst_class_accuracy");
  if (recall === 0 && own("balanced_accuracy") === 0.5)
    return "constant prediction: no difference between groups, and no use";
  if (!(recall <= NEARLY) || Number.isNaN(own("prevalence"))) return "";
  const share = (100 * recall).toFixed(1);
  return `nearly constant prediction: of one class ${share} % are recognised, so small differences mean little`;
}

/** Whether a mark is a constant prediction, or nearly. */
function isConstant(marks, i) {
  return constancyOf((key) => marks.value(key)[i]) !== "";
}

/** What hovers beside a mark. */
function tooltip(view, i) {
  const { marks } = view;
  const line = (key) => {
    const ends = marks.interval(key).map((of) => of[i]);
    const range = bracketed(ends);
    return element(
      "div",
      { class: "pair" },
      element("span", {}, briefly(key)),
      element("b", {}, figure(marks.value(key)[i], ends), range && element("small", {}, range)),
    );
  };
  const ids = marks.runsOf(i).map((run) => runs.id[run]);
  const records = `record${ids.length > 1 ? "s" : ""} ${ids.slice(0, 5).join(", ")}${ids.length > 5 ? ", \u2026" : ""}`;
  const facts = [records, seedsOf(marks, i), view.mask[i] ? "efficient" : ""];
  return [
    element(
      "div",
      { class: "name" },
      swatch(lookOfSetting(marks.setting(i))),
      element("b", {}, ...breaking(labelOf(marks, i))),
    ),
    element("div", { class: "sub" }, facts.filter(Boolean).join(" \u00b7 ")),
    element("div", { class: "sub" }, constancyOf((key) => marks.value(key)[i]).split(":")[0]),
    ...[...new Set([state.x, state.y, ...questioned()])].map(line),
  ];
}
