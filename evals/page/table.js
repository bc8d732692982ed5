// The table below the plot: the marks that are shown, by page; sorted by any column; as CSV in full.

const ROWS = 25; // of a page
const COLUMNS = 5; // metrics beside those of axes and question

/** `twins 0.1, lr 0.03`: what tells a setting from the others, beside its options and radius. */
const differences = rememberedOfData((setting) => {
  const pairs = differing(setting).filter(([key]) => key !== "epsilon.radius" && key !== "experiment");
  return pairs.map(([key, value]) => `${shortName(key)} ${value}`).join(", ");
});

/** The columns that may be chosen beside the metrics: what runs and settings are. */
function facts(marks) {
  const facets = usedFacets().map((facet) => {
    const order = facet === "radius" ? (i) => settings.facet("radius")[marks.setting(i)] ?? NaN : undefined;
    return { id: facet, title: TITLE(facet), text: (i) => facetOf(facet, marks.setting(i)), order };
  });
  const others = held.settings.differs.some((key) => key !== "epsilon.radius" && key !== "experiment");
  const found = [...facets];
  if (others) found.push({ id: "settings", title: "settings that differ", text: (i) => differences(marks.setting(i)) });
  found.push({ id: "name", title: "name of the run", text: (i) => runs.name[marks.first(i)] || "" });
  found.push({ id: "created", title: "made", text: (i) => (runs.created[marks.first(i)] || "").slice(0, 10) });
  return found;
}

/** What every table has before its metrics: {id, title, text of a mark, its order}. */
function firstColumns(view) {
  const { marks } = view;
  const ids = (i) => marks.runsOf(i).map((run) => runs.id[run]);
  const single = state.seeds === "runs";
  const found = [
    { id: "setting", title: "setting", text: (i) => settings.label[marks.setting(i)] },
    {
      id: "policy",
      left: true,
      title: "thresholds fitted to",
      text: (i) => marks.policy(i) || "",
      order: (i) => marks.point(i) ?? -1,
    },
    {
      id: "record",
      aside: true,
      title: single ? "record" : "records",
      text: (i) => ids(i).join(" "),
      order: (i) => runs.id[marks.first(i)],
    },
    single
      ? {
          id: "seed",
          aside: true,
          title: "seed",
          text: (i) => runs.seed[marks.first(i)] ?? "",
          order: (i) => Number(runs.seed[marks.first(i)]),
        }
      : { id: "seeds", aside: true, title: "seeds", text: (i) => String(ids(i).length), order: (i) => ids(i).length },
    {
      id: "efficient",
      aside: true,
      left: true,
      title: "efficient",
      text: (i) => (view.mask[i] ? "yes" : ""),
      order: (i) => -view.mask[i],
    },
  ];
  return found.filter(({ id }) => id !== "policy" || view.shown.some(marks.isPoint));
}

/** The columns of the table. */
function columns(view) {
  const chosen = chosenColumns();
  const also = facts(view.marks).filter(({ id }) => chosen.includes(id));
  return [
    ...firstColumns(view),
    ...also,
    ...chosen.filter((key) => METRIC.has(key)).map((key) => metricColumn(view, key)),
  ];
}

/** The metrics and facts that the table shows: those chosen, else axes, question and headlines. */
function chosenColumns() {
  if (state.columns) return state.columns;
  const wanted = [...new Set([state.x, state.y, ...questioned()])];
  const rest = held.metrics.filter((metric) => !metric.section && !wanted.includes(metric.key));
  return [...wanted, ...rest.slice(0, COLUMNS).map((metric) => metric.key)];
}

function metricColumn(view, key) {
  const [values, ends] = [view.marks.value(key), view.marks.interval(key)];
  const own = (i) => ends.map((of) => of[i]);
  return {
    id: key,
    title: shortly(key),
    words: `${METRIC.get(key).words} (${key})`,
    key,
    order: (i) => values[i],
    ends: own,
    text: (i) => figure(values[i], own(i)),
  };
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

function cell(view, column, i) {
  const made = element("td", { class: classOf(column) }, ...breaking(column.text(i)));
  if (column.id === "setting") made.prepend(swatch(lookOfSetting(view.marks.setting(i))));
  if (column.id === "efficient" && view.mask[i])
    made.replaceChildren(element("span", { class: "dot", role: "img", "aria-label": "efficient" }));
  if (column.ends && state.bars) made.append(element("small", {}, bracketed(column.ends(i))));
  return made;
}

function row(view, shownColumns, i) {
  const cells = shownColumns.map((column) => cell(view, column, i));
  const made = element(
    "tr",
    {
      tabindex: "0",
      class: [view.permitted[i] ? "" : "out", i === view.picked ? "picked" : ""].join(" ").trim() || null,
    },
    ...cells,
  );
  made.dataset.mark = i;
  made.dataset.code = codeOf(view.marks, i);
  if (i === view.picked) made.setAttribute("aria-selected", "true");
  return made;
}

const PLAIN = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i; // a number in a text
const FORMULA = /((?:^|[;\t\r\n])\s*)(?=[=+@\uff1d\uff0b\uff0d\uff20-])/g; // as utils/system/console.py has it

/**
 * The shown rows, all pages of them, with all digits: what runs are, and of every chosen metric value and interval, by
 * its key. A text that a spreadsheet would calculate has an apostrophe before its sign; numbers, also negative ones, stay.
 */
function csv(view) {
  const safe = (text) => (PLAIN.test(text) ? text : text.replace(FORMULA, "$1'"));
  const quoted = (text) => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const digits = (value) => (Number.isFinite(value) ? String(Number(value.toPrecision(9))) : "");
  const metrics = chosenColumns()
    .filter((key) => METRIC.has(key))
    .map((key) => metricColumn(view, key));
  const cells = [
    ...[...firstColumns(view), ...facts(view.marks)].map(({ id, text }) => [id, (i) => quoted(safe(text(i)))]),
    ...metrics.flatMap(({ key, order, ends }) => [
      [key, (i) => digits(order(i))],
      [`${key}_low`, (i) => digits(ends(i)[0])],
      [`${key}_high`, (i) => digits(ends(i)[1])],
    ]),
  ];
  const lines = [cells.map(([title]) => quoted(safe(title))), ...view.order.map((i) => cells.map(([, of]) => of(i)))];
  return lines.map((line) => `${line.join(",")}\n`).join("");
}
