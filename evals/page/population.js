// What a mark stands for: a run, or the mean of a setting over its seeds; and operating points of either.
//
// A population has `models` marks for models, then those of their operating points, model by model. Each mark has
// members, rows of the runs or of the points, and its value of a metric is their mean; a run is its only member.

/** Marks for single runs. */
function everyRun() {
  return population({
    models: RUNS,
    setting: (i) => runs.setting[i],
    members: Array.from({ length: RUNS }, (_, i) => [i]),
    pointMembers: Array.from({ length: POINTS }, (_, i) => [i]),
    owner: points.run,
  });
}

/** Marks for settings: means over seeds, and of the same policy over seeds. */
function everySetting() {
  const members = Array.from({ length: SETTINGS }, () => []);
  runs.setting.forEach((setting, run) => members[setting].push(run));
  const known = new Map();
  points.run.forEach((run, point) => {
    const name = `${runs.setting[run]} ${points.policy[point]}`;
    if (!known.has(name)) known.set(name, []);
    known.get(name).push(point);
  });
  const pointMembers = Array.from(known.values()).sort(
    (a, b) =>
      runs.setting[points.run[a[0]]] - runs.setting[points.run[b[0]]] || points.number[a[0]] - points.number[b[0]],
  );
  return population({
    models: SETTINGS,
    setting: (i) => i,
    members,
    pointMembers,
    owner: Uint32Array.from(pointMembers, (of) => runs.setting[points.run[of[0]]]),
  });
}

function population({ models, setting, members, pointMembers, owner }) {
  const n = models + pointMembers.length;
  const isPoint = (i) => i >= models;
  const of = (i) => (isPoint(i) ? pointMembers[i - models] : members[i]);
  const parent = (i) => (isPoint(i) ? owner[i - models] : i);
  const starts = new Uint32Array(models + 1); // the points of model i begin at models + starts[i]
  for (const i of owner) starts[i + 1] += 1;
  for (let i = 0; i < models; i++) starts[i + 1] += starts[i];
  const settingOf = Uint32Array.from({ length: n }, (_, i) => setting(parent(i)));
  const first = (i) => (isPoint(i) ? points.run[of(i)[0]] : of(i)[0]);
  const found = {
    n,
    models,
    isPoint,
    parent,
    first,
    members: of,
    table: (i) => (isPoint(i) ? points : runs),
    setting: (i) => settingOf[i],
    pointsOf: (i) => [models + starts[i], models + starts[i + 1]],
    runsOf: (i) => (isPoint(i) ? of(i).map((point) => points.run[point]) : of(i)),
    policy: (i) => (isPoint(i) ? points.policy[of(i)[0]] : null),
    point: (i) => (isPoint(i) ? points.number[of(i)[0]] : null),
    value: remembered((key) => {
      const rows = runs.metric(key);
      const onPoints = points.metric(key);
      return Float64Array.from({ length: n }, (_, i) => mean(isPoint(i) ? onPoints : rows, of(i)));
    }),
  };
  found.interval = remembered((key) => intervals(found, key));
  found.full = remembered((key) => {
    const has = [runs, points].map((table) => (row) => !Number.isNaN(table.metric(key)[row]));
    return Uint8Array.from({ length: n }, (_, i) => of(i).every(has[isPoint(i) ? 1 : 0]));
  });
  return found;
}

/** Mean of those rows that have a value. */
function mean(values, rows) {
  if (rows.length === 1) return values[rows[0]];
  let sum = 0;
  let n = 0;
  for (const row of rows) {
    if (Number.isNaN(values[row])) continue;
    sum += values[row];
    n += 1;
  }
  return n ? sum / n : NaN;
}

/**
 * Ends [low, high] of the 95 % interval of every mark, NaN where there is none: of one run or point that over its test
 * rows, as filed; of a mean that over its seeds.
 */
function intervals(marks, key) {
  const low = new Float64Array(marks.n).fill(NaN);
  const high = new Float64Array(marks.n).fill(NaN);
  for (let i = 0; i < marks.n; i++) {
    const table = marks.table(i);
    const values = table.metric(key);
    const rows = marks.members(i).filter((row) => !Number.isNaN(values[row]));
    if (rows.length === 1) [low[i], high[i]] = [`${key}_low`, `${key}_high`].map((end) => table.metric(end)[rows[0]]);
    else if (rows.length)
      [low[i], high[i]] = overSeeds(
        rows.map((row) => values[row]),
        METRIC.get(key).bounds,
      );
  }
  return [low, high];
}
