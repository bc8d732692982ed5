// The table below the plot: the marks that are shown, by page; sorted by any column; as CSV in full.

const ROWS = 25; // of a page
const COLUMNS = 8; // metrics beside the axes

// a name is <dataset>_<model>_<regularizer>, which other columns hold, unless somebody gave another
const namesSayMore = rememberedOfData(() =>
  runs.name.some((name, run) => name && !name.endsWith(`_${facetOf("regularizer", runs.setting[run])}`)),
);

/** `twins 0.1, lr 0.03`: what tells a setting from the others, beside its options and radius. */
const differences = rememberedOfData((setting) => {
  const pairs = differing(setting).filter(([key]) => key !== "epsilon.radius" && key !== "experiment");
  return pairs.map(([key, value]) => `${shortName(key)} ${value}`).join(", ");
});

/** The columns of the table: title, value of a mark, and for a metric its key. */
function columns(view) {
  const { marks } = view;
  const found = [
    {
      id: "record",
      aside: true,
      title: "record",
      words: "numbers of the records",
      text: (i) =>
        marks
          .runsOf(i)
          .map((run) => runs.id[run])
          .join(" "),
      order: (i) => runs.id[marks.first(i)],
    },
  ];
  if (namesSayMore("all")) found.push({ id: "name", title: "name", text: (i) => runs.name[marks.first(i)] || "" });
  for (const facet of usedFacets()) {
    const order = facet === "radius" ? (i) => settings.facet("radius")[marks.setting(i)] ?? NaN : undefined;
    found.push({ id: facet, title: TITLE(facet), text: (i) => facetOf(facet, marks.setting(i)), order });
  }
  const others = held.settings.differs.filter((key) => key !== "epsilon.radius" && key !== "experiment");
  if (others.length)
    found.push({
      id: "settings",
      title: "settings",
      words: "settings that differ between runs",
      text: (i) => differences(marks.setting(i)),
    });
  if (state.seeds === "mean")
    found.push({
      id: "seeds",
      aside: true,
      title: "seeds",
      text: (i) => String(marks.runsOf(i).length),
      order: (i) => marks.runsOf(i).length,
    });
  else
    found.push({
      id: "seed",
      aside: true,
      title: "seed",
      text: (i) => runs.seed[marks.first(i)] ?? "",
      order: (i) => Number(runs.seed[marks.first(i)]),
    });
  if (view.shown.some(marks.isPoint))
    found.push({
      id: "policy",
      left: true,
      title: "policy",
      words: "what the thresholds of an operating point were chosen for",
      text: (i) => marks.policy(i) || "",
      order: (i) => marks.point(i) ?? -1,
    });
  found.push({
    id: "efficient",
    aside: true,
    left: true,
    title: "efficient",
    text: (i) => (view.mask[i] ? "yes" : ""),
    order: (i) => -view.mask[i],
  });
  return [...found, ...metricColumns(view)];
}

function metricColumns(view) {
  const wanted = [state.x, state.y, ...state.needs.map((need) => need.key)];
  const rest = held.metrics.filter((metric) => !metric.section).map((metric) => metric.key);
  const keys = [...new Set([...wanted, ...rest])].slice(0, new Set(wanted).size + COLUMNS);
  return keys.map((key) => {
    const values = view.marks.value(key);
    return {
      id: key,
      title: key,
      words: METRIC.get(key).words,
      key,
      order: (i) => values[i],
      text: (i) => figure(values[i]),
    };
  });
}

/** Why the chosen column puts the marks in no order: its figures rest on several causal models; else none. */
function unsortable(view) {
  const metric = state.sort && METRIC.has(state.sort.by);
  return metric ? apartOf(view.marks, view.shown, [state.sort.by]) : null;
}

/** The column that the marks are sorted by, none where none is chosen or its figures do not compare. */
function sortedBy(view, shownColumns) {
  return unsortable(view) ? undefined : state.sort && shownColumns.find((c) => c.id === state.sort.by);
}

/** The marks shown, in the order of the chosen column, those without a value last. */
function sorted(view, shownColumns) {
  const order = [...view.shown];
  const column = sortedBy(view, shownColumns);
  const ranks = !apartOf(view.marks, view.shown, [state.x]);
  if (!column)
    return order.sort(
      (a, b) =>
        view.permitted[b] - view.permitted[a] ||
        view.mask[b] - view.mask[a] ||
        (ranks && Number.isNaN(view.xs[a]) - Number.isNaN(view.xs[b])) ||
        (ranks && (view.xs[b] - view.xs[a]) * (view.signs[0] || 1)) ||
        a - b,
    );
  const turn = state.sort.falling ? -1 : 1;
  const value = column.order || column.text;
  const keyed = order.map((i) => [value(i), i]);
  const missing = (v) => v === "" || Number.isNaN(v);
  keyed.sort(
    ([a, i], [b, j]) => missing(a) - missing(b) || (missing(a) ? 0 : a < b ? -turn : a > b ? turn : 0) || i - j,
  );
  return keyed.map(([, i]) => i);
}

function showTable(view, change) {
  const shownColumns = columns(view);
  view.order = sorted(view, shownColumns);
  view.columns = shownColumns;
  const pages = Math.max(1, Math.ceil(view.order.length / ROWS));
  state.page = Math.min(state.page, pages - 1);
  const rows = view.order.slice(state.page * ROWS, (state.page + 1) * ROWS);
  const by = sortedBy(view, shownColumns);
  const reason = unsortable(view);
  byId("head").replaceChildren(...shownColumns.map((column) => heading(column, column === by, change)));
  byId("unsorted").textContent = reason ? `Not sorted: ${reason}.` : "";
  byId("rows").replaceChildren(...rows.map((i) => row(view, shownColumns, i)));
  byId("count").textContent = view.order.length
    ? `${state.page * ROWS + 1} to ${state.page * ROWS + rows.length} of ${view.order.length.toLocaleString("en")}`
    : "nothing to show";
  byId("previous").disabled = state.page === 0;
  byId("next").disabled = state.page >= pages - 1;
}

function heading(column, own, change) {
  // a metric begins with its better end
  const start = column.key ? directionOf(column.key) > 0 : false;
  const toggle = () =>
    change(() =>
      Object.assign(state, { page: 0, sort: { by: column.id, falling: own ? !state.sort.falling : start } }),
    );
  const arrow = own ? (state.sort.falling ? " ↓" : " ↑") : "";
  const button = element(
    "button",
    { type: "button", title: column.words || column.title, onclick: toggle },
    ...breaking(column.title),
    arrow,
  );
  button.dataset.sort = column.id;
  return element(
    "th",
    {
      scope: "col",
      class: classOf(column),
      "aria-sort": own ? (state.sort.falling ? "descending" : "ascending") : "none",
    },
    button,
  );
}

/** Numbers end on the right; what is aside is left out on a narrow screen. */
function classOf(column) {
  return [column.order && !column.left ? "number" : "", column.aside ? "aside" : ""].filter(Boolean).join(" ") || null;
}

function row(view, shownColumns, i) {
  const cells = shownColumns.map((column) => {
    const cell = element("td", { class: classOf(column) }, ...breaking(column.text(i)));
    if (column.id === "regularizer") cell.prepend(swatch(lookOfSetting(view.marks.setting(i))));
    if (column.id === "efficient" && view.mask[i])
      cell.replaceChildren(element("span", { class: "dot", role: "img", "aria-label": "efficient" }));
    return cell;
  });
  const made = element(
    "tr",
    {
      tabindex: "0",
      class: [view.permitted[i] ? "" : "out", i === view.picked ? "picked" : ""].join(" ").trim() || null,
    },
    ...cells,
  );
  made.dataset.mark = i;
  if (i === view.picked) made.setAttribute("aria-selected", "true");
  return made;
}

/** The shown rows, all pages of them, with all digits; a text that a spreadsheet would calculate is disarmed. */
function csv(view) {
  const plain = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i; // a number in a text
  const sign = /((?:^|[;\t\r\n])\s*)(?=[=+@\uff1d\uff0b\uff0d\uff20-])/g; // of a formula, as utils/system/console.py has it
  const safe = (text) => (plain.test(text) ? text : text.replace(sign, "$1'"));
  const quoted = (text) => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const digits = (value) => (Number.isNaN(value) ? "" : String(Number(value.toPrecision(9))));
  const cell = (column, i) => (column.key ? digits(column.order(i)) : quoted(safe(column.text(i))));
  const lines = [
    view.columns.map((column) => quoted(safe(column.title))),
    ...view.order.map((i) => view.columns.map((column) => cell(column, i))),
  ];
  return lines.map((line) => `${line.join(",")}\n`).join("");
}
