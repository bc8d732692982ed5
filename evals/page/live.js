// Following a database that grows: of a page that is served, the data are asked for again and again, the view stays.

const PERIOD = 2000; // milliseconds

function follow() {
  let tag = document.getElementById("data").dataset.tag;
  if (!tag) return; // a page from disk
  const ask = async () => {
    try {
      const answer = await fetch("data", { cache: "no-store", headers: { "If-None-Match": tag } });
      if (answer.status === 200) {
        refresh(await answer.json());
        tag = answer.headers.get("ETag");
      }
      showLive(answer.status === 503 ? `not refreshed: ${await answer.text()}` : "follows the database");
    } catch {
      showLive("no longer served: this is the state of the last answer");
    }
    setTimeout(ask, PERIOD);
  };
  showLive("follows the database");
  setTimeout(ask, PERIOD);
}

function showLive(text) {
  const said = `Live: ${text}`;
  byId("live").hidden = false;
  if (byId("live").textContent !== said) byId("live").textContent = said;
}

/** Show new data in the view that there is: what is chosen, looked at closely, focused and opened stays. */
function refresh(given) {
  const before = [RUNS, placeOfFocus(), openedParts()];
  takeData(given);
  fill();
  keepWhatIsThere();
  if (!byId("needs").contains(document.activeElement)) byId("needs").dataset.shape = ""; // sliders as long as the data
  write();
  show();
  for (const summary of byId("record").querySelectorAll("summary")) if (before[2].has(summary.textContent)) summary.click();
  focusAt(before[1]);
  const more = RUNS - before[0];
  if (more > 0) announce(`${counted(more, "run")} more`);
}

/** Of a database that was exchanged a metric may be gone. */
function keepWhatIsThere() {
  for (const key of ["x", "y", "objective"]) if (!METRIC.has(state[key])) state[key] = START[key];
  state.needs = state.needs.filter(({ key }) => METRIC.has(key));
}

function openedParts() {
  return new Set(Array.from(byId("record").querySelectorAll("details[open] > summary"), (summary) => summary.textContent));
}

const MADE_ANEW = ["legend", "facets", "verdict", "pins", "record", "rows", "head"]; // by every view
const FOCUSED = "button, input, summary, code, tr";

/** Where the focus is, in a part that is made anew: the part, and the row by its name or the place in the part. */
function placeOfFocus() {
  const own = document.activeElement;
  const part = MADE_ANEW.find((id) => own && byId(id).contains(own));
  return part ? [part, own.dataset.code, Array.from(byId(part).querySelectorAll(FOCUSED)).indexOf(own)] : null;
}

function focusAt(place) {
  if (!place) return;
  const [part, code, i] = place;
  const there = Array.from(byId(part).querySelectorAll(FOCUSED));
  const found = code === undefined ? there[i] : there.find((own) => own.dataset.code === code);
  if (found) found.focus({ preventScroll: true });
}
