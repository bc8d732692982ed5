// Axes, filters and requirements. Each control changes the state and asks for a new view.

/** The metrics of a select: headlines, then the rest by section. */
function fillMetrics(select, chosen, fits = () => true) {
  const sections = new Map();
  for (const metric of held.metrics) {
    if (!fits(metric)) continue;
    if (!sections.has(metric.section)) sections.set(metric.section, []);
    sections.get(metric.section).push(metric);
  }
  const option = ({ key, words }) => element("option", { value: key, selected: key === chosen, title: key }, words);
  const groups = Array.from(sections, ([name, metrics]) =>
    element("optgroup", { label: name ? `More: ${name.toLowerCase()}` : "Headlines" }, ...metrics.map(option)),
  );
  select.replaceChildren(...groups);
  select.value = chosen;
}

function buildAxes(change) {
  for (const axis of ["x", "y"]) {
    fillMetrics(byId(axis), state[axis]);
    byId(axis).addEventListener("change", () =>
      change(() => Object.assign(state, { [axis]: byId(axis).value, zoom: null })),
    );
  }
  byId("swap").addEventListener("click", () =>
    change(() => Object.assign(state, { x: state.y, y: state.x, zoom: null })),
  );
  for (const mode of ["runs", "mean"]) {
    byId(`seeds-${mode}`).addEventListener("change", () =>
      change(() => Object.assign(state, { seeds: mode, pick: null })),
    );
  }
  for (const key of ["bars", "points"]) {
    byId(key).addEventListener("change", () => change(() => (state[key] = byId(key).checked)));
  }
  byId("points").closest("label").hidden = POINTS === 0;
}

/** The sentence about several sources of data, and the choice among them. */
function buildSources(change) {
  byId("sources").hidden = !held.source;
  if (!held.source) return;
  byId("sources").firstElementChild.textContent = `${held.sources[0].toUpperCase()}${held.sources.slice(1)}. Shown: `;
  const option = ([value, count]) => element("option", { value }, `${value}, ${counted(count, "run")}`);
  const known = valuesOfFacet("source").filter(([value]) => value !== NONE);
  byId("source").replaceChildren(...known.map(option), element("option", { value: "", disabled: true }, "several"));
  byId("source").addEventListener("change", () =>
    change(() => {
      delete state.off.source;
      Object.assign(state, { off: { ...state.off, ...sourcesBut(byId("source").value) }, zoom: null, pick: null });
    }),
  );
}

function showSources() {
  const left = sourcesOfData().filter((value) => !(state.off.source && state.off.source.has(value)));
  byId("source").value = left.length === 1 ? left[0] : "";
}

function showAxes() {
  for (const axis of ["x", "y"]) byId(axis).value = state[axis];
  byId(`seeds-${state.seeds}`).checked = true;
  for (const key of ["bars", "points"]) byId(key).checked = state[key];
}

// --- filters -------------------------------------------------------------------------------------------------

const TITLES = { radius: "epsilon", scm: "causal model" };
const TITLE = (facet) => TITLES[facet] || facet;

/** The legend, whose chips choose regularizers, and the other facets under Filters. */
function buildFilters(change) {
  byId("legend").replaceChildren(...chips("regularizer", change));
  const others = usedFacets.filter((facet) => facet !== "regularizer");
  const body = others.map((facet) =>
    element(
      "fieldset",
      {},
      element("legend", {}, TITLE(facet)),
      ...(isRange(facet) ? range(change) : [chipBox(facet, change)]),
    ),
  );
  byId("filters").hidden = !others.length;
  byId("facets").replaceChildren(...body);
}

function chipBox(facet, change) {
  return element("div", { class: "chips" }, ...chips(facet, change));
}

function chips(facet, change) {
  const made = valuesOfFacet(facet).map(([value, count]) => chip(facet, value, count, change));
  if (made.length < 3) return made;
  const all = element(
    "button",
    { type: "button", class: "quiet", onclick: () => change(() => delete state.off[facet]) },
    "show all",
  );
  all.dataset.all = facet;
  return [...made, all];
}

function chip(facet, value, count, change) {
  const box = element("input", { type: "checkbox", class: "hidden" });
  box.dataset.facet = facet;
  box.dataset.value = value;
  const toggle = () => {
    const off = (state.off[facet] ||= new Set());
    if (box.checked) off.delete(value);
    else off.add(value);
    if (!off.size) delete state.off[facet];
  };
  box.addEventListener("change", () => change(toggle));
  const only = () => {
    const others = valuesOfFacet(facet)
      .map(([other]) => other)
      .filter((other) => other !== value);
    state.off[facet] = new Set(others);
  };
  const label = element(
    "label",
    { class: "chip", title: `${counted(count, "run")}; a double click shows it alone`, ondblclick: () => change(only) },
    box,
    facet === "regularizer" ? swatch(lookOf.get(value)) : "",
    element("span", { class: "name" }, value),
    element("span", { class: "count" }, count.toLocaleString("en")),
  );
  return label;
}

function range(change) {
  const known = valuesOfFacet("radius")
    .map(([value]) => Number(value))
    .filter(Number.isFinite);
  const fields = ["least", "greatest"].map((word, side) => {
    const field = element("input", { type: "number", step: "any", "aria-label": `${word} epsilon` });
    field.dataset.side = side;
    field.addEventListener("change", () =>
      change(() => {
        const ends = state.range ? [...state.range] : [known[0], known.at(-1)];
        ends[side] = field.value === "" ? [known[0], known.at(-1)][side] : Number(field.value);
        state.range = ends[0] <= known[0] && ends[1] >= known.at(-1) ? null : ends;
      }),
    );
    return field;
  });
  return [element("div", { class: "range" }, fields[0], "to", fields[1])];
}

function showFilters() {
  for (const box of document.querySelectorAll("input[data-facet]")) {
    const off = state.off[box.dataset.facet];
    box.checked = !(off && off.has(box.dataset.value));
  }
  for (const all of document.querySelectorAll("[data-all]")) all.hidden = !state.off[all.dataset.all];
  const known = valuesOfFacet("radius")
    .map(([value]) => Number(value))
    .filter(Number.isFinite);
  for (const field of document.querySelectorAll("input[data-side]")) {
    field.value = (state.range || [known[0], known.at(-1)])[field.dataset.side];
  }
  const active = Object.keys(state.off).filter((facet) => facet !== "regularizer").length + (state.range ? 1 : 0);
  byId("active").textContent = active ? `${active} active` : "";
}

// --- requirements --------------------------------------------------------------------------------------------

function buildNeeds(change) {
  byId("add").addEventListener("click", () =>
    change(() => {
      const taken = new Set(state.needs.map((need) => need.key));
      const key =
        [state.y, state.x, ...held.metrics.map((m) => m.key)].find((k) => directionOf(k) && isOfTestRows(k) && !taken.has(k)) ||
        START.objective;
      state.needs.push({ key, sign: directionOf(key) || -1, value: middle(key) });
    }),
  );
  byId("objective").addEventListener("change", () => change(() => (state.objective = byId("objective").value)));
  fillMetrics(byId("objective"), state.objective, (metric) => metric.direction !== 0);
}

/** Least and greatest value of a metric among all marks, in round numbers. */
function bounds(key) {
  const values = current().value(key);
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) if (Number.isFinite(value)) [low, high] = [Math.min(low, value), Math.max(high, value)];
  return low > high ? [0, 1] : [low, high];
}

function middle(key) {
  const [low, high] = bounds(key);
  return Number(((low + high) / 2).toPrecision(2));
}

/** The rows of the requirements; made anew only when their metrics change, so that a slider is not lost in a drag. */
function showNeeds(change) {
  const list = byId("needs");
  const shape = state.needs.map((need) => `${need.key} ${need.sign}`).join("|") + state.seeds;
  if (list.dataset.shape !== shape) {
    list.dataset.shape = shape;
    list.replaceChildren(...state.needs.map((need, i) => needRow(need, i, change)));
  }
  state.needs.forEach((need, i) => {
    for (const field of list.children[i].querySelectorAll("input")) {
      if (field !== document.activeElement || field.type === "range") field.value = need.value;
    }
  });
  byId("objective").value = state.objective;
  byId("add").disabled = state.needs.length >= 8;
}

function needRow(need, i, change) {
  const [low, high] = bounds(need.key);
  const pad = (high - low || 0.1) * 0.02;
  const step = Number(((high - low || 0.1) / 200).toPrecision(1));
  const set = (value) => change(() => (state.needs[i].value = Number(Number(value).toPrecision(6))));
  const select = element("select", { "aria-label": "metric of the requirement" });
  fillMetrics(select, need.key, (metric) => isOfTestRows(metric.key));
  select.addEventListener("change", () =>
    change(
      () =>
        (state.needs[i] = {
          key: select.value,
          sign: directionOf(select.value) || need.sign,
          value: middle(select.value),
        }),
    ),
  );
  const turn = () => change(() => (state.needs[i].sign *= -1));
  const words = METRIC.get(need.key).words;
  const slider = element("input", {
    type: "range",
    min: String(Math.floor((low - pad) / step) * step),
    max: String(Math.ceil((high + pad) / step) * step),
    step: String(step),
    "aria-label": `${words}, ${need.sign > 0 ? "at least" : "at most"}`,
    oninput: (event) => set(event.target.value),
  });
  const field = element("input", {
    type: "number",
    step: "any",
    "aria-label": `limit of ${words}`,
    oninput: (event) => event.target.value !== "" && set(event.target.value),
  });
  return element(
    "li",
    { class: "need" },
    select,
    element(
      "button",
      {
        type: "button",
        class: "icon",
        title: "remove",
        "aria-label": `remove the requirement on ${words}`,
        onclick: () => change(() => state.needs.splice(i, 1)),
      },
      "×",
    ),
    element(
      "div",
      { class: "limit" },
      element(
        "button",
        {
          type: "button",
          class: "sign",
          title: "turn round",
          "aria-label": "turn the requirement round",
          onclick: turn,
        },
        need.sign > 0 ? "≥" : "≤",
      ),
      slider,
      field,
    ),
  );
}

/** What the requirements permit and cost, in a sentence or two. */
function showVerdict(view) {
  const verdict = byId("verdict");
  byId("objective-row").hidden = !state.needs.length;
  if (!state.needs.length) {
    verdict.textContent =
      "Add one, such as the largest difference you permit, to see which runs meet it, the best, and what it costs.";
    return;
  }
  if (view.unlike) {
    verdict.textContent = `No best: ${view.unlike}.`;
    return;
  }
  const total = view.shown.length;
  const noun = state.seeds === "mean" ? "setting" : "run";
  const what = view.shown.some(view.marks.isPoint) ? `${noun}s and operating points` : `${noun}s`;
  const said = [`${view.allowed.toLocaleString("en")} of ${total.toLocaleString("en")} ${what} permitted.`];
  if (view.unknown)
    said.push(`${view.unknown.toLocaleString("en")} of them lack a required value and count as not permitted.`);
  const required = state.needs.map(inWords).join(", ");
  verdict.replaceChildren(
    element("p", { class: "required" }, `Required: ${required}; best by ${briefly(state.objective)}.`), // on paper
    element("p", {}, element("strong", {}, said[0]), ...said.slice(1).map((text) => ` ${text}`)),
  );
  if (view.best < 0) {
    if (view.allowed) verdict.append(element("p", {}, `None of them has ${briefly(state.objective)}.`));
    return;
  }
  const { value, cost } = view;
  const setting = view.marks.setting(view.best);
  const name = [
    facetOf("regularizer", setting),
    differences(setting),
    policyOf(view.marks, view.best),
    seedsOf(view.marks, view.best),
  ];
  const show = element(
    "button",
    { type: "button", class: "link", onclick: () => pickMark(view.best) },
    name.filter(Boolean).join(", "),
  );
  const equals = view.equals > 1 ? `, and ${view.equals - 1} as good` : "";
  verdict.append(
    element(
      "p",
      {},
      `Best, with ${briefly(state.objective)} `,
      element("strong", {}, figure(value)),
      ": ",
      show,
      equals,
    ),
  );
  const price = ["The requirements cost ", element("strong", {}, figure(cost)), ` of ${briefly(state.objective)}.`];
  verdict.append(
    element("p", { class: "cost" }, ...(cost > 0 ? price : ["They cost nothing: the best of all is permitted."])),
    element("p", { class: "handed" }, handedWords(view.marks, view.best)),
  );
  if (view.compared > 1) {
    const n = view.compared.toLocaleString("en");
    verdict.append(
      element("p", { class: "luck" }, `${n} were compared on the same test rows: part of the lead of the best is luck.`),
    );
  }
}
