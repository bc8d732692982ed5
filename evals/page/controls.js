// Axes, filters and requirements. Each control changes the state and asks for a new view.

const fields = {}; // of the axes and the objective

function buildAxes(change) {
  const all = () => held.metrics;
  for (const axis of ["x", "y"]) {
    const choose = (key) => change(() => Object.assign(state, { [axis]: key, zoom: null }));
    fields[axis] = metricField({ id: axis, offered: all, choose });
    byId(`${axis}-field`).replaceChildren(fields[axis]);
  }
  byId("swap").addEventListener("click", () =>
    change(() => Object.assign(state, { x: state.y, y: state.x, zoom: null })),
  );
  for (const mode of ["runs", "mean"]) {
    byId(`seeds-${mode}`).addEventListener("change", () =>
      change(() => Object.assign(state, { seeds: mode, pick: null })),
    );
  }
  for (const key of ["bars", "sure"]) {
    byId(key).addEventListener("change", () => change(() => (state[key] = byId(key).checked)));
  }
  byId("points").addEventListener("change", () => change(() => (state.points = byId("points").value)));
}

/** The sentence about several sources of data, and the choice among them. */
function buildSources(change) {
  byId("source").addEventListener("change", () =>
    change(() => {
      delete state.off.source;
      Object.assign(state, { off: { ...state.off, ...sourcesBut(byId("source").value) }, zoom: null, pick: null });
    }),
  );
}

/** The choice among the sources that the data hold. */
function fillSources() {
  byId("sources").hidden = !held.source;
  if (!held.source) return;
  byId("sources").firstElementChild.textContent = `${held.sources[0].toUpperCase()}${held.sources.slice(1)}. Shown: `;
  const option = ([value, count]) => element("option", { value }, `${value}, ${counted(count, "run")}`);
  const known = valuesOfFacet("source").filter(([value]) => value !== NONE);
  byId("source").replaceChildren(...known.map(option), element("option", { value: "", disabled: true }, "several"));
}

function showSources() {
  const left = sourcesOfData().filter((value) => !(state.off.source && state.off.source.has(value)));
  byId("source").value = left.length === 1 ? left[0] : "";
}

function showAxes() {
  for (const axis of ["x", "y"]) fields[axis].put(state[axis]);
  byId(`seeds-${state.seeds}`).checked = true;
  for (const key of ["bars", "sure"]) byId(key).checked = state[key];
  byId("points").value = state.points;
  byId("points").closest("label").hidden = POINTS === 0;
}

// --- filters -------------------------------------------------------------------------------------------------

const TITLES = { scm: "causal model" };
const TITLE = (facet) => TITLES[facet] || facet;

/** The legend, whose chips choose regularizers, and the other facets under Filters. */
function fillFilters(change) {
  byId("legend").replaceChildren(...chips("regularizer", change));
  const others = usedFacets().filter((facet) => facet !== "regularizer");
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
    facet === "regularizer" ? swatch(lookOfKind(value)) : "",
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
    const field = element("input", { type: "number", step: "any", "aria-label": `${word} radius` });
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
  byId("add").addEventListener("click", () => change(() => state.needs.push(needOn(nextNeed()))));
  const offered = () => held.metrics.filter((metric) => metric.direction !== 0);
  const choose = (key) => change(() => (state.objective = key));
  fields.objective = metricField({ id: "objective", offered, choose });
  byId("objective-field").replaceChildren(fields.objective);
}

/** The metric of one requirement more: an axis, or the first that has none yet. */
function nextNeed() {
  const taken = new Set([...state.needs.map((need) => need.key), state.objective]);
  const directed = Array.from(METRIC.keys()).filter((key) => directionOf(key) && isOfTestRows(key));
  return [state.y, state.x, ...directed].find((key) => directed.includes(key) && !taken.has(key)) || START.objective;
}

/** The rows of the requirements; made anew only when their metrics change, so that a dial is not lost in a drag. */
function showNeeds(change) {
  const list = byId("needs");
  const shape = state.needs.map((need) => `${need.key} ${need.sign}`).join("|");
  if (list.dataset.shape !== shape) {
    list.dataset.shape = shape;
    list.replaceChildren(...state.needs.map((need, i) => needRow(need, i, change)));
  }
  state.needs.forEach((need, i) => {
    for (const field of list.children[i].querySelectorAll("input[type=range], input[type=number]")) {
      if (field !== document.activeElement || field.type === "range") field.value = need.value;
    }
  });
  fields.objective.put(state.objective);
  byId("add").disabled = state.needs.length >= 8;
  byId("sure").closest("label").hidden = !state.needs.length;
}

function needRow(need, i, change) {
  const { words } = METRIC.get(need.key);
  const end = need.sign > 0 ? "Least" : "Largest";
  const other = need.sign > 0 ? "largest" : "least";
  const button = (name, title, text, act) =>
    element(
      "button",
      {
        type: "button",
        class: name,
        title,
        "aria-label": `${[...text].length > 1 ? `${text}; ` : ""}${title}: ${words}`,
        onclick: () => change(act),
      },
      text,
    );
  const offered = () => held.metrics.filter((metric) => isOfTestRows(metric.key));
  const choose = (key) => change(() => (state.needs[i] = needOn(key)));
  const field = metricField({ label: "metric of the requirement", offered, choose });
  field.put(need.key);
  const turn = button("sign", `limit the ${other} instead`, `${end} permitted`, () => (state.needs[i].sign *= -1));
  const remove = button("icon", "remove the requirement", "\u00d7", () => state.needs.splice(i, 1));
  return element("li", { class: "need" }, turn, field, ...dial(need, i, change), remove);
}

/** A number and a slider for the limit of a requirement. */
function dial({ key, sign }, i, change) {
  const [low, high] = spanOf(key);
  const { words, bounds } = METRIC.get(key);
  const step = Number(((high - low || 0.1) / 200).toPrecision(1));
  const pad = low < high ? 2 * step : 0.1;
  const [from, to] = [Math.floor((low - pad) / step) * step, Math.ceil((high + pad) / step) * step];
  const [min, max] = [Math.max(from, bounds[0] ?? from), Math.min(to, bounds[1] ?? to)];
  const name = `${sign > 0 ? "least" : "largest"} permitted ${words}`;
  const set = (event) => {
    if (event.target.value === "") return; // somebody is typing
    change(() => (state.needs[i].value = Number(Number(event.target.value).toPrecision(6))));
  };
  const ends = { step: String(step), min: String(Number(min.toPrecision(6))), max: String(Number(max.toPrecision(6))) };
  return [
    element("input", { type: "number", step: "any", "aria-label": name, oninput: set }),
    element("input", { type: "range", ...ends, "aria-label": `${name}, as a slider`, oninput: set }),
  ];
}
