// The answer in the head of the page: which model to deploy, how good it is, what the requirements cost; or why none.

function showAnswer(view, change) {
  const verdict = byId("verdict");
  if (!directionOf(state.objective))
    verdict.replaceChildren(paragraph("lead", `No model is named: ${whyUnranked(state.objective)}.`));
  else if (view.unlike) verdict.replaceChildren(element("p", { class: "lead" }, `No best: ${view.unlike}.`));
  else if (view.best < 0) verdict.replaceChildren(...refusalOf(view, change));
  else verdict.replaceChildren(...answerOf(view));
  if (state.needs.length) verdict.append(questionOnPaper());
}

function paragraph(name, ...parts) {
  return element("p", { class: name }, ...parts);
}

/** What is asked, where the dial is not printed. */
function questionOnPaper() {
  const sure = state.sure ? ", for sure" : "";
  return paragraph(
    "required",
    `Required: ${state.needs.map(inWords).join(", ")}${sure}; best by ${briefly(state.objective)}.`,
  );
}

// --- a model ---------------------------------------------------------------------------------------------------------

function answerOf(view) {
  const handed = handedOut(view.marks, view.best, view.level);
  return [
    paragraph("lead", ...deployed(view, handed)),
    paragraph("second", ...costInWords(view)),
    ...warningsOfAnswer(handed),
    paragraph("small", [permittedInWords(view), chosenRun(view, handed), luckOf(view)].filter(Boolean).join(" ")),
  ];
}

/** `Deploy group_gap, weight 10 (record 57): 70.5 % right [68.9, 72.1]; its difference ... 0.06`: of the run itself. */
function deployed(view, handed) {
  const { marks, best } = view;
  const others = [...new Set(state.needs.map((need) => need.key))].filter((key) => key !== state.objective);
  const further = alsoSaid().filter((key) => Number.isFinite(handed.own(key)));
  const figures = others.map((key) => [`; ${briefly(key)} `, ...figureOf(handed, key)]);
  const more = further.map((key) => [`; ${briefly(key)} `, ...figureOf(handed, key)]);
  return [
    "Deploy ",
    linkTo(marks, best),
    ` (record ${runs.id[handed.run]}): `,
    ...mainFigure(handed),
    ...figures.flat(),
    ...more.flat(),
    ".",
  ];
}

function mainFigure(handed) {
  const key = state.objective;
  const [value, interval] = figureOf(handed, key);
  return key === "accuracy" ? [value, " right", interval] : [`${briefly(key)} `, value, interval];
}

function figureOf(handed, key) {
  const ends = [handed.own(`${key}_low`), handed.own(`${key}_high`)];
  const range = rangeInUnits(key, ends);
  return [element("strong", {}, inUnits(key, handed.own(key), ends)), range ? ` ${range}` : ""];
}

/** Another virtue than those asked about: the first robust accuracy, else the first unfair area, of the headlines. */
function alsoSaid() {
  const asked = new Set(questioned());
  const free = held.metrics.filter((metric) => !metric.section && !asked.has(metric.key)).map((metric) => metric.key);
  const first = [/^robust_accuracy(?!_worst|_group|_class)/, /^uai_[\d.]/].map((form) =>
    free.find((key) => form.test(key)),
  );
  return first.filter(Boolean).slice(0, 1);
}

/** The name of a mark, a link to the view that shows its record; unlike a button it breaks with the lines. */
function linkTo(marks, i) {
  const show = (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return; // a view of its own
    event.preventDefault();
    pickMark(i);
  };
  return element(
    "a",
    { class: "link", href: addressWith({ pick: codeOf(marks, i) }), onclick: show },
    labelOf(marks, i),
  );
}

/** What the requirements cost, against the best of all; and what the setting attains over its seeds. */
function costInWords(view) {
  const { marks, best, free, asked } = view;
  const rows = asked.rows.get(best);
  const said = rows.length > 1 ? [`Its setting, over ${rows.length} seeds: ${meansInWords(view)}. `] : [];
  if (!state.needs.length) return said;
  if (best === free) return [...said, "The requirements cost nothing: the best of all is permitted."];
  const { cost, ends, by } = costOf(asked, best, free);
  const range = rangeInUnits(state.objective, ends);
  const why = range ? ` ${range} (95 %, ${by})` : "";
  const name = state.objective === "accuracy" ? "the most accurate" : "the best of all";
  const price = element("strong", { class: "cost" }, amountOf(state.objective, cost, ends));
  return [...said, "The requirements cost ", price, `${why} against ${name}, `, linkTo(marks, free), "."];
}

function meansInWords({ marks, best, asked }) {
  const rows = asked.rows.get(best);
  const words = questioned().map((key) => {
    const ends = intervalOf(marks, best, key, rows);
    const value = meanOf(marks, best, key, rows);
    return [shortly(key), inUnits(key, value, ends), rangeInUnits(key, ends)].filter(Boolean).join(" ");
  });
  return words.join("; ");
}

/** Which run of the setting is handed out, and whether it meets the requirements by itself. */
function chosenRun({ marks, best, level }, handed) {
  return handed.missed.length || handed.of > 1 || level !== null
    ? handedWords(marks, best, level, false)
    : crossedBy(handed);
}

/** What would make the answer a bad one: a constant prediction, or nearly. */
function warningsOfAnswer(handed) {
  const same = asSentence(constancyOf(handed.own));
  return same ? [paragraph("warning", same)] : [];
}

function permittedInWords(view) {
  if (!state.needs.length) return "";
  const [allowed, total, without] = [
    view.allowed,
    view.candidates.length,
    view.passing.length - view.candidates.length,
  ].map((n) => n.toLocaleString("en"));
  const lost = without === "0" ? "" : ` ${without} without ${questioned().map(shortly).join(" or ")} do not compete.`;
  return `${allowed} of ${total} ${competitors(view)} permitted${surety(view)}.${lost}`;
}

/** `for sure: by the whole interval of the run ...`, where that is asked. */
function surety({ level }) {
  if (level === null) return "";
  const percent = (100 * level).toFixed(Math.max(0, Math.ceil(-Math.log10(1 - level)) - 1));
  return ` for sure: by the whole interval of one run over its test rows, of level ${percent} %, as is due to so many runs`;
}

/** Why runs can never be sure: of older records no counts are known. */
function neverSure({ asked, candidates, level }) {
  const [all, lost] = level === null ? [0, 0] : uncountedOf(asked, candidates);
  if (!lost) return "";
  return ` ${lost.toLocaleString("en")} of ${all.toLocaleString("en")} runs and points are never sure: their records hold no counts of these metrics.`;
}

function competitors({ candidates, marks }) {
  const noun = state.seeds === "mean" ? "setting" : "run";
  if (candidates.some(marks.isPoint)) return `${noun}s and operating points`;
  return candidates.length === 1 ? noun : `${noun}s`;
}

function luckOf({ candidates }) {
  const n = candidates.length.toLocaleString("en");
  if (state.sure && state.needs.length) return "";
  return candidates.length > 1 ? `${n} were compared on the same test rows: part of the lead of the best is luck.` : "";
}

// --- none ------------------------------------------------------------------------------------------------------------

/** Why nothing is chosen: which requirement excludes most, and which model is the nearest; a click permits it. */
function refusalOf(view, change) {
  const { marks, candidates, asked } = view;
  if (!candidates.length) {
    const missing = questioned().map(briefly).join(" and ");
    return [
      paragraph(
        "lead",
        view.passing.length ? `None of the ${competitors(view)} has ${missing}.` : "Nothing passes the filters.",
      ),
    ];
  }
  const meeting = view.meeting();
  const hardest = meeting.indexOf(Math.min(...meeting));
  const sure = state.sure ? " for sure" : "";
  const total = candidates.length.toLocaleString("en");
  const count = (n) => (n ? `only ${n.toLocaleString("en")} of ${total} meet it` : `none of ${total} meets it`);
  const excluding = state.needs.length > 1 ? "The requirement that excludes most is " : "Required is ";
  const nearest = view.nearest();
  const needs = needsMetBy(asked, nearest);
  const moved = needs.filter((need, i) => need !== state.needs[i]).map(inWords);
  const permit = element(
    "button",
    { type: "button", class: "quiet", id: "permit", onclick: () => change(() => (state.needs = needs)) },
    `Permit ${moved.join(" and ")}`,
  );
  const lead = state.needs.length > 1 ? "No model meets all requirements" : "No model meets the requirement";
  return [
    paragraph(
      "lead",
      `${lead}${sure}. `,
      excluding,
      element("strong", {}, inWords(state.needs[hardest])),
      `: ${count(meeting[hardest])}${sure}.`,
    ),
    paragraph(
      "second",
      "Nearest is ",
      linkTo(marks, nearest),
      `, with ${meansInWords({ marks, best: nearest, asked })}. `,
      ...(moved.length ? [permit] : []),
    ),
    paragraph("small", permittedInWords(view) + neverSure(view)),
  ];
}
