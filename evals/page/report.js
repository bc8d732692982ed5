// What is shown for a view, and what the reader does to the state.

const plot = new Plot(byId("frame"));
let view = null;

// --- showing -----------------------------------------------------------------------------------------------------

function showFinding() {
  const noun = state.seeds === "mean" ? "setting" : "run";
  const models = view.placed.filter((i) => !view.marks.isPoint(i)).length;
  const of = view.placed.length - models;
  const total = counted(models, noun) + (of ? ` and ${counted(of, "operating point")}` : "");
  const axes = [...new Set([state.x, state.y])].map(briefly).join(" and ");
  const best = view.mask.reduce((n, one) => n + one, 0);
  const finding = byId("finding");
  if (!view.placed.length) finding.textContent = `No ${noun} that passes the filters has ${axes}.`;
  else if (!view.ranked) finding.textContent = `${total}. No frontier: ${view.apart || whyUnranked(unranked())}.`;
  else if (view.placed.length < 2)
    finding.textContent = `Only one ${noun} is shown: there is nothing to compare it with yet.`;
  else {
    const meaning = best === 1 ? "no other is as good in both" : "better in one only at the expense of the other";
    const are = element("strong", {}, `${best.toLocaleString("en")} ${best === 1 ? "is" : "are"} efficient`);
    finding.replaceChildren(`Of ${total}, `, are, ` in ${axes}: ${meaning}.`, reach());
  }
}

/** The two ends of the frontier in figures, the better one in x first; and how many of the efficient are of no use. */
function reach() {
  const best = view.placed.filter((i) => view.mask[i]).sort((a, b) => (view.xs[b] - view.xs[a]) * view.signs[0]);
  const at = (key, i) => figure(view.marks.value(key)[i], intervalAt(key, i));
  const [first, last] = [best[0], best.at(-1)].map((i) => `${at(state.x, i)} at ${at(state.y, i)}`);
  const said = first === last ? "" : ` They reach from ${briefly(state.x)} ${first} to ${last}.`;
  const none = best.filter((i) => isConstant(view.marks, i)).length;
  const who =
    none === 1
      ? "One of them is a constant prediction, or nearly"
      : `${none} of them are constant predictions, or nearly`;
  return none ? `${said} ${who}.` : said;
}

function whyUnranked(key) {
  if (isSigned(key)) return `the best ${briefly(key)} is 0, at neither end; the one without a sign has a frontier`;
  return `it is not known which end of ${briefly(key)} is better`;
}

/** The axis of which neither end is better. */
function unranked() {
  return view.signs[0] ? state.y : state.x;
}

function showCaption() {
  byId("rows-title").textContent = state.seeds === "mean" ? "Settings" : "Runs";
  const said = [];
  if (view.ranked && view.shown.length) said.push("Line: what is attained (Pareto frontier). Outlined: efficient.");
  if (state.bars && view.shown.length)
    said.push(
      `Bars, of what is efficient: 95 % interval ${state.seeds === "mean" ? "of the mean over seeds (Student)" : "over test rows"}.`,
    );
  if (view.shown.some(view.marks.isPoint))
    said.push(
      `Small squares: operating points, the same model under other thresholds${state.points === "few" ? "; those that are efficient" : ""}.`,
    );
  if (view.references.length) said.push("Dotted: what the most accurate of all possible classifiers reaches.");
  if (view.best >= 0 && !view.shown.includes(view.best))
    said.push(
      `The best permitted is not shown: it has no ${[state.x, state.y]
        .filter((key) => !Number.isFinite(view.marks.value(key)[view.best]))
        .map(briefly)
        .join(" and no ")}.`,
    );
  if (view.missing)
    said.push(`Not shown: ${view.missing.toLocaleString("en")} without ${briefly(state.x)} or ${briefly(state.y)}.`);
  byId("caption").textContent = said.join(" ");
}

function show() {
  const focus = placeOfFocus();
  view = look();
  showSources();
  showAxes();
  showFilters();
  showNeeds(change);
  plot.draw(view);
  showAnswer(view, change);
  showPins(view);
  showFinding();
  showCaption();
  showRecord(view);
  showTable(view, change);
  showZoom();
  hideTip();
  focusAt(focus);
}

/** Do something to the state, then show it and put it into the address. */
function change(act) {
  act();
  write();
  show();
}

function write() {
  const hash = toHash();
  history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
}

function pickMark(i) {
  state.pick = i < 0 ? null : codeOf(view.marks, i);
  if (i >= 0 && !view.shown.includes(i)) change(() => {}); // it is drawn because it is picked
  view.picked = i;
  write();
  plot.highlight(view.picked, view.hovered);
  showRecord(view);
  for (const line of byId("rows").children) line.classList.toggle("picked", Number(line.dataset.mark) === i);
  if (i >= 0) announce(`${labelOf(view.marks, i)}: record shown`);
}

/** Pin a mark, by its name in the address, or take the pin away; the older of two makes room for a third. */
function pin(code) {
  const others = state.pins.filter((own) => own !== code);
  const added = others.length === state.pins.length;
  change(() => (state.pins = added ? [...others, code].slice(-PINS) : others));
  announce(`${labelOf(view.marks, markOf(code))}: ${added ? "pinned" : "no longer pinned"}`);
}

/** The pinned marks, by the letters that the plot has at them. */
function showPins(view) {
  byId("pinned").hidden = !view.pins.length;
  const chips = view.pins.map((i, k) => {
    const code = codeOf(view.marks, i);
    const name = element(
      "button",
      { type: "button", class: "link", onclick: () => pickMark(i) },
      labelOf(view.marks, i),
    );
    const away = {
      type: "button",
      class: "icon",
      "aria-label": `unpin ${labelOf(view.marks, i)}`,
      onclick: () => pin(code),
    };
    return element("li", {}, element("b", {}, LETTERS[k]), name, element("button", away, "\u00d7"));
  });
  byId("pins").replaceChildren(...chips);
  showComparison(view);
}

function hover(i, fromTable = false) {
  if (i === view.hovered) return;
  view.hovered = i;
  plot.highlight(view.picked, i);
  for (const line of byId("rows").children) line.classList.toggle("hovered", Number(line.dataset.mark) === i);
  if (i < 0 || fromTable) hideTip();
  else showTip(i);
}

function showTip(i) {
  const tip = byId("tip");
  tip.replaceChildren(...tooltip(view, i));
  tip.hidden = false;
  const [x, y] = [plot.px[i], plot.py[i]];
  const left = x + 16 + tip.offsetWidth > plot.width ? x - 16 - tip.offsetWidth : x + 16;
  tip.style.left = `${Math.max(4, Math.min(left, plot.width - tip.offsetWidth - 4))}px`;
  tip.style.top = `${Math.max(4, Math.min(y - 20, plot.height - tip.offsetHeight - 4))}px`;
}

function intervalAt(key, i) {
  return view.marks.interval(key).map((ends) => ends[i]);
}

function hideTip() {
  byId("tip").hidden = true;
}

// --- pointer and keys ------------------------------------------------------------------------------------------

function listen() {
  const frame = byId("frame");
  listenForZoom(frame); // before the others: of a box that is being drawn they hear nothing
  const at = (event, reach) => {
    const box = frame.getBoundingClientRect();
    return plot.nearest(event.clientX - box.left, event.clientY - box.top, reach);
  };
  frame.addEventListener("pointermove", (event) => hover(at(event)));
  frame.addEventListener("pointerleave", () => hover(-1));
  frame.addEventListener("click", (event) => pickMark(at(event, event.pointerType === "touch" ? 2 * REACH : REACH)));
  frame.addEventListener("keydown", keyed);
  frame.addEventListener("blur", () => hover(-1));
  const rows = byId("rows");
  const markIn = (event) => {
    const line = event.target.closest("tr");
    return line ? Number(line.dataset.mark) : -1;
  };
  rows.addEventListener("pointerover", (event) => hover(markIn(event), true));
  rows.addEventListener("pointerleave", () => hover(-1));
  rows.addEventListener("focusin", (event) => hover(markIn(event), true));
  rows.addEventListener("click", (event) => pickMark(markIn(event)));
  rows.addEventListener("keydown", (event) => {
    const line = event.target.closest("tr");
    if (event.key === "Enter" || event.key === " ") pickMark(markIn(event));
    else if (event.key === "p") pin(codeOf(view.marks, markIn(event)));
    else if (event.key === "ArrowDown") line.nextElementSibling?.focus();
    else if (event.key === "ArrowUp") line.previousElementSibling?.focus();
    else return;
    event.preventDefault();
  });
  byId("previous").addEventListener("click", () => change(() => (state.page -= 1)));
  byId("next").addEventListener("click", () => change(() => (state.page += 1)));
  byId("csv").addEventListener("click", () =>
    download(`${held.dataset}.csv`.replaceAll("/", "-"), csv(view), "text/csv"),
  );
  byId("theme").addEventListener("click", () => turn(isDark() ? "light" : "dark"));
  byId("reset").addEventListener("click", () => change(() => fromHash(state.theme ? `theme=${state.theme}` : "")));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  window.addEventListener("hashchange", () => (fromHash(location.hash), repaint()));
  window.addEventListener("beforeprint", () => onPaper(true));
  window.addEventListener("afterprint", () => onPaper(false));
  new ResizeObserver(() => {
    if (matchMedia("print").matches) return; // a canvas that is emptied now would print empty
    plot.resize();
    if (view) plot.draw(view);
  }).observe(frame);
}

/** Left and right walk through the marks by x, up and down by y; Enter opens a record, Escape closes it. */
function keyed(event) {
  const step = { ArrowLeft: [plot.px, -1], ArrowRight: [plot.px, 1], ArrowUp: [plot.py, -1], ArrowDown: [plot.py, 1] }[
    event.key
  ];
  if (step) hover(neighbour(...step));
  else if ((event.key === "Enter" || event.key === " ") && view.hovered >= 0) pickMark(view.hovered);
  else if (event.key === "p" && Math.max(view.hovered, view.picked) >= 0)
    pin(codeOf(view.marks, view.hovered >= 0 ? view.hovered : view.picked));
  else if (event.key === "Escape") (hover(-1), pickMark(-1));
  else return;
  event.preventDefault();
  if (step && view.hovered >= 0) {
    const i = view.hovered;
    const found = view.keys
      .map((key) => `${briefly(key)} ${figure(view.marks.value(key)[i], intervalAt(key, i))}`)
      .join(", ");
    announce(`${labelOf(view.marks, i)}: ${found}${view.mask[i] ? ", efficient" : ""}`);
  }
}

/** The next mark from the hovered or picked one, along pixels; at first an efficient one. */
function neighbour(along, side) {
  const from = view.hovered >= 0 ? view.hovered : view.picked;
  const near = (i) => plot.inside(i);
  if (from < 0) return view.shown.find((i) => view.mask[i] && near(i)) ?? view.shown.find(near) ?? -1;
  const order = view.shown.filter(near).sort((a, b) => along[a] - along[b] || a - b);
  return order[Math.max(0, Math.min(order.length - 1, order.indexOf(from) + side))];
}

// --- theme -------------------------------------------------------------------------------------------------------

function isDark() {
  return state.theme ? state.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function turn(theme) {
  state.theme = theme;
  write();
  repaint();
}

/** Ink on paper is dark, whatever the theme; and the plot a picture, as Chromium prints no strokes made this late. */
function onPaper(printed) {
  const theme = state.theme;
  if (printed) state.theme = "light";
  repaint();
  state.theme = theme;
  byId("paper")?.remove();
  if (printed) byId("frame").append(element("img", { id: "paper", src: plot.base.toDataURL(), alt: "" }));
}

/** All again, in the colours of the theme. */
function repaint() {
  document.documentElement.dataset.theme = state.theme || "";
  byId("theme").textContent = isDark() ? "Light" : "Dark";
  byId("theme").setAttribute("aria-label", isDark() ? "switch to light colours" : "switch to dark colours");
  for (const canvas of document.querySelectorAll("canvas.swatch")) canvas.repaint();
  plot.resize();
  show();
}

// --- for tests ---------------------------------------------------------------------------------------------------

/** The answer in figures: of the setting, of the run that is handed out, what the requirements cost. */
function answered(view) {
  const nearest = view.best < 0 ? view.nearest() : -1;
  if (view.best < 0) return { nearest: nearest < 0 ? null : codeOf(view.marks, nearest), meeting: view.meeting() };
  const { marks, best, free, asked, level } = view;
  const [handed, rows] = [handedOut(marks, best, level), asked.rows.get(best)];
  const of = (key) => ({
    value: meanOf(marks, best, key, rows),
    ends: intervalOf(marks, best, key, rows),
    own: handed.own(key),
  });
  return {
    label: labelOf(marks, best),
    record: runs.id[handed.run],
    point: marks.isPoint(best) ? points.number[handed.row] : null,
    missed: handed.missed.length,
    level,
    allowed: view.allowed,
    free: labelOf(marks, free),
    figures: Object.fromEntries(questioned().map((key) => [key, of(key)])),
    ...costOf(asked, best, free),
  };
}

// --- start -------------------------------------------------------------------------------------------------------

/** What stands on the page because of its data, and not of the view. */
function fill() {
  START = firstState();
  byId("title").textContent = held.title;
  byId("meta").textContent = [
    held.title === held.dataset ? "" : held.dataset,
    "trade-offs of trained models",
    counted(RUNS, "run"),
    counted(SETTINGS, "setting"),
    held.where ? `where ${held.where}` : "",
    held.made.replaceAll("-", "\u2011"), // not broken
  ]
    .filter(Boolean)
    .join(" \u00b7 ");
  fillSources();
  fillFilters(change);
}

fill();
fromHash(location.hash);
buildSources(change);
buildAxes(change);
buildNeeds(change);
buildColumnChoice(change);
repaint();
listen();
follow();

/** For tests and the curious: what is shown, by the codes of the marks, and the milliseconds of a full redraw. */
window.trilemma = {
  state,
  shown: () => view.shown.map((i) => codeOf(view.marks, i)),
  efficient: () => view.placed.filter((i) => view.mask[i]).map((i) => codeOf(view.marks, i)),
  permitted: () => view.passing.filter((i) => view.permitted[i]).map((i) => codeOf(view.marks, i)),
  best: () => (view.best < 0 ? null : codeOf(view.marks, view.best)),
  order: () => view.order.map((i) => codeOf(view.marks, i)),
  value: (code, key) => current().value(key)[markOf(code)],
  interval: (code, key) =>
    current()
      .interval(key)
      .map((ends) => ends[markOf(code)]),
  pixel: (code) => [plot.px[markOf(code)], plot.py[markOf(code)]],
  loading: (code) => loadingOf(view.marks, markOf(code), view.level),
  missed: (code) => handedOut(view.marks, markOf(code), view.level).missed.length,
  answer: () => answered(view),
  paired: (a, b, key) => pairedDifference(bothDecided(runs.id.indexOf(a), runs.id.indexOf(b)), key),
  otherwise: (a, b, group) => decidedOtherwise(bothDecided(runs.id.indexOf(a), runs.id.indexOf(b)), group),
  pins: () => view.pins.map((i) => codeOf(view.marks, i)),
  atLevel: (id, key, level) => atLevel(runs, key, runs.id.indexOf(id), level),
  shares: (part, whole, level) => clopperPearson(part, whole, level),
  handOut,
  command: (code) => commandOf(view.marks, markOf(code)),
  staircase: () => view.steps,
  axes: () => [plot.x.from, plot.x.to, plot.y.from, plot.y.to],
  open: (hash) => (fromHash(hash), write(), repaint()),
  set: (changes) => change(() => Object.assign(state, changes)),
  redraw: () => {
    const started = performance.now();
    view = look();
    plot.draw(view);
    plot.base.getContext("2d").getImageData(0, 0, 1, 1); // waits for the pixels
    return performance.now() - started;
  },
};
