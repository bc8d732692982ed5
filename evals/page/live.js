// Following a database that grows: of a page that is served, the data are asked for again and again, the view stays.

const PERIOD = 2000; // milliseconds

function follow() {
  let tag = document.getElementById("data").dataset.tag;
  if (!tag) return; // a page from disk
  const ask = async () => {
    const answer = await fetch("data", { cache: "no-store", headers: { "If-None-Match": tag } }).catch(() => null);
    if (answer && answer.status === 200) {
      const given = await answer.json();
      tag = answer.headers.get("ETag");
      refresh(given);
    }
    showLive(await stateOf(answer));
    setTimeout(ask, PERIOD);
  };
  showLive("follows the database");
  setTimeout(ask, PERIOD);
}

async function stateOf(answer) {
  if (!answer) return "no longer served: this is the state of the last answer";
  return answer.status === 503 ? `not refreshed: ${await answer.text()}` : "follows the database";
}

function showLive(text) {
  const said = `Live: ${text}`;
  byId("live").hidden = false;
  if (byId("live").textContent !== said) byId("live").textContent = said;
}

/** Show new data in the view that there is: what is chosen, looked at closely, focused and opened stays. */
function refresh(given) {
  const [before, opened, focus] = [RUNS, openedParts(), placeOfFocus()];
  takeData(given);
  fill();
  keepWhatIsThere();
  if (!byId("needs").contains(document.activeElement)) byId("needs").dataset.shape = ""; // sliders as long as the data
  write();
  show();
  for (const summary of byId("record").querySelectorAll("summary"))
    if (opened.has(summary.textContent)) summary.click();
  focusAt(focus);
  const more = RUNS - before;
  if (more > 0) announce(`${counted(more, "run")} more`);
}

/** Of a database that was exchanged a metric may be gone. */
function keepWhatIsThere() {
  for (const key of ["x", "y", "objective"]) if (!METRIC.has(state[key])) state[key] = START[key];
  state.needs = state.needs.filter(({ key }) => METRIC.has(key));
}

function openedParts() {
  return new Set(
    Array.from(byId("record").querySelectorAll("details[open] > summary"), (summary) => summary.textContent),
  );
}
