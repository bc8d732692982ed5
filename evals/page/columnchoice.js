// Which columns the table has: boxes to tick, narrowed by typed words.

function buildColumnChoice(change) {
  const [button, panel] = [byId("columns"), byId("column-choice")];
  const open = (shown) => {
    panel.hidden = !shown;
    button.setAttribute("aria-expanded", String(shown));
  };
  button.addEventListener("click", () => {
    open(panel.hidden);
    if (!panel.hidden) fillColumnChoice(change);
    if (!panel.hidden) byId("column-words").focus();
  });
  panel.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    open(false);
    button.focus();
  });
  document.addEventListener("pointerdown", (event) => !event.target.closest(".choice") && open(false));
  byId("column-words").addEventListener("input", narrowColumnChoice);
  byId("column-reset").addEventListener("click", () => {
    change(() => (state.columns = null));
    fillColumnChoice(change);
  });
}

/** The boxes: what runs are, then the metrics by section. */
function fillColumnChoice(change) {
  const sections = new Map([["Runs and settings", facts(view.marks).map(({ id, title }) => [id, title])]]);
  for (const { key, words, section } of held.metrics) {
    const name = section || "Headlines";
    sections.set(name, [...(sections.get(name) || []), [key, words]]);
  }
  const chosen = new Set(chosenColumns());
  const groups = Array.from(sections, ([name, of]) =>
    element(
      "fieldset",
      {},
      element("legend", {}, name),
      ...of.map(([id, words]) => columnBox(id, words, chosen.has(id), change)),
    ),
  );
  byId("column-boxes").replaceChildren(...groups);
  narrowColumnChoice();
}

function columnBox(id, words, checked, change) {
  const box = element("input", { type: "checkbox", checked });
  box.addEventListener("change", () =>
    change(() => {
      const others = chosenColumns().filter((own) => own !== id);
      state.columns = box.checked ? [...others, id] : others;
      state.page = 0;
    }),
  );
  const label = element("label", { title: id }, box, element("span", {}, words));
  label.dataset.words = `${words} ${id}`.toLowerCase();
  return label;
}

/** Leave the boxes that have all of the typed words. */
function narrowColumnChoice() {
  const words = byId("column-words").value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const group of byId("column-boxes").children) {
    const labels = Array.from(group.querySelectorAll("label"));
    for (const label of labels) label.hidden = !words.every((word) => label.dataset.words.includes(word));
    group.hidden = labels.every((label) => label.hidden);
  }
}
