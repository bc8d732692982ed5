// A field in which one of many metrics is chosen: typed words narrow a list of names in words (the combobox of the ARIA
// Authoring Practices, with a list that the field filters).

let lists = 0; // for names of elements

/**
 * A field with its list. `offered()` are the metrics that may be chosen, `choose(key)` is told; `put(key)` shows one.
 */
function metricField({ label, offered, choose, id = null }) {
  const name = `metrics-${(lists += 1)}`;
  const field = element("input", {
    type: "text",
    role: "combobox",
    autocomplete: "off",
    spellcheck: "false",
    "aria-autocomplete": "list",
    "aria-expanded": "false",
    "aria-controls": name,
  });
  if (id) field.id = id;
  if (label) field.setAttribute("aria-label", label);
  const list = element("div", { id: name, role: "listbox", "aria-label": "metrics", class: "options" });
  const found = element("div", { class: "picker" }, field, list);
  const own = { field, list, name, offered, choose, key: null, active: -1 };
  list.hidden = true;
  found.put = (key) => {
    own.key = key;
    if (list.hidden) rest(own);
  };
  listenForChoice(own);
  return found;
}

/** Close the list; the field says again what is chosen. */
function rest({ field, list, key }) {
  list.hidden = true;
  field.setAttribute("aria-expanded", "false");
  field.removeAttribute("aria-activedescendant");
  field.value = METRIC.has(key) ? briefly(key) : "";
  field.title = METRIC.has(key) ? `${METRIC.get(key).words} (${key})` : "";
}

function listenForChoice(own) {
  const { field, list } = own;
  field.addEventListener("click", () => list.hidden && unfold(own, ""));
  field.addEventListener("focus", () => field.select());
  field.addEventListener("input", () => unfold(own, field.value));
  field.addEventListener("blur", () => rest(own));
  field.addEventListener("keydown", (event) => keyOfChoice(own, event));
  list.addEventListener("pointerdown", (event) => event.preventDefault()); // the field keeps the focus
  list.addEventListener("click", (event) => {
    const option = event.target.closest("[role=option]");
    if (option) take(own, option);
  });
}

function keyOfChoice(own, event) {
  const { field, list } = own;
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step && list.hidden) unfold(own, "");
  else if (step) activate(own, own.active + step);
  else if (event.key === "Enter" && !list.hidden) take(own, optionsOf(own)[own.active]);
  else if (event.key === "Escape" && !list.hidden) {
    rest(own);
    field.select();
  } else return;
  event.preventDefault();
  event.stopPropagation();
}

/** Open the list with the metrics that have all of the typed words, in their words or their key. */
function unfold(own, typed) {
  const words = typed.toLowerCase().split(/\s+/).filter(Boolean);
  const has = ({ key, words: text }) => words.every((word) => `${text} ${key}`.toLowerCase().includes(word));
  const metrics = own.offered().filter(has);
  const sections = new Map();
  for (const metric of metrics) {
    if (!sections.has(metric.section)) sections.set(metric.section, []);
    sections.get(metric.section).push(metric);
  }
  own.list.replaceChildren(...Array.from(sections, ([name, of]) => sectionOf(own, name, of)));
  if (!metrics.length)
    own.list.append(element("div", { class: "none", role: "presentation" }, "no metric has these words"));
  own.list.hidden = false;
  own.field.setAttribute("aria-expanded", "true");
  activate(
    own,
    Math.max(
      0,
      metrics.findIndex((metric) => metric.key === own.key),
    ),
  );
  if (typed) announce(counted(metrics.length, "metric"));
}

function sectionOf(own, name, metrics) {
  const title = name || "Headlines";
  const options = metrics.map(({ key, words }) => {
    const made = element("div", { role: "option", "aria-selected": String(key === own.key), title: key }, words);
    made.id = `${own.name} ${key}`.replaceAll(/\s/g, "_");
    made.dataset.key = key;
    return made;
  });
  const heading = element("div", { class: "section", "aria-hidden": "true" }, title);
  return element("div", { role: "group", "aria-label": title }, heading, ...options);
}

function optionsOf(own) {
  return Array.from(own.list.querySelectorAll("[role=option]"));
}

/** Make an option the one that Enter takes, and show it. */
function activate(own, place) {
  const options = optionsOf(own);
  own.active = Math.max(0, Math.min(options.length - 1, place));
  options.forEach((option, i) => option.classList.toggle("active", i === own.active));
  const active = options[own.active];
  if (!active) return own.field.removeAttribute("aria-activedescendant");
  own.field.setAttribute("aria-activedescendant", active.id);
  const [box, line] = [own.list, active];
  if (line.offsetTop < box.scrollTop) box.scrollTop = own.active ? line.offsetTop - 4 : 0;
  else if (line.offsetTop + line.offsetHeight > box.scrollTop + box.clientHeight)
    box.scrollTop = line.offsetTop + line.offsetHeight - box.clientHeight + 4;
}

function take(own, option) {
  const key = option && option.dataset.key;
  if (key) own.key = key;
  rest(own);
  if (key) own.choose(key);
}
