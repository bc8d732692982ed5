// The scatter on a canvas: marks, frontier, intervals, reference lines, what requirements exclude; and which mark is
// where, by a grid of cells.

const REACH = 14; // pixels about the pointer in which a mark is found; twice as far for a finger
const CELL = 24;
const LINE = 15; // pixels from line to line of an axis' name
const TITLE_ROOM = 12; // pixels beside it
const FAR = 1e6; // pixels
const LETTERS = ["A", "B"]; // of what is pinned
const FEW = 8; // marks of which each is seen with its interval
const FAINT = 0.38; // opacity of what is dominated
const RIM = 8; // pixels about the axes in which marks are drawn
const THREADS = 400; // models up to which lines join their operating points; of more, only those that stand out

class Plot {
  constructor(frame) {
    this.frame = frame;
    this.base = frame.querySelector("canvas.base");
    this.over = frame.querySelector("canvas.over");
    this.grid = null;
  }

  /** Fit the canvases to the frame. */
  resize() {
    const box = this.frame.getBoundingClientRect();
    this.width = Math.max(200, Math.round(box.width));
    this.height = Math.max(200, Math.round(box.height));
    this.ratio = Math.min(window.devicePixelRatio || 1, 2);
    for (const canvas of [this.base, this.over]) {
      canvas.width = this.width * this.ratio;
      canvas.height = this.height * this.ratio;
    }
  }

  pen(canvas) {
    const pen = canvas.getContext("2d");
    pen.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    pen.clearRect(0, 0, this.width, this.height);
    pen.font = `12px ${getComputedStyle(document.body).fontFamily}`;
    return pen;
  }

  /** Draw a view: marks, values on the axes, who is shown, efficient and permitted. */
  draw(view) {
    this.view = view;
    this.colours = palette();
    const pen = this.pen(this.base);
    this.place(view, pen);
    this.drawGrid(pen);
    pen.save();
    pen.beginPath();
    pen.rect(this.left, this.top, this.right - this.left, this.bottom - this.top);
    pen.clip();
    this.drawAttained(pen);
    this.drawExcluded(pen);
    this.drawReferences(pen);
    pen.restore();
    pen.save();
    pen.beginPath(); // of a mark at the very end of an axis all is seen
    pen.rect(this.left - RIM, this.top - RIM, this.right - this.left + 2 * RIM, this.bottom - this.top + 2 * RIM);
    pen.clip();
    this.drawThreads(pen);
    this.drawPoints(pen);
    if (view.bars) this.drawBars(pen);
    this.drawModels(pen);
    pen.restore();
    this.drawBest(pen);
    this.drawNames(pen);
    this.drawNotes(pen);
    this.drawWords(pen);
    this.grid = null; // made when the pointer first comes
    this.highlight(view.picked, view.hovered);
  }

  /** Scales, and the pixel of every mark. */
  place(view, pen) {
    const narrow = this.width < 520;
    const [width, height] = [this.width - (narrow ? 12 : 22), this.height - (narrow ? 46 : 52)];
    [this.left, this.right, this.top, this.bottom] = [narrow ? 50 : 64, width, 18, height];
    this.sentences = [this.right - this.left, this.bottom - this.top].map((room, k) =>
      sentence(pen, view.words[k], view.better[k], room),
    );
    this.bottom -= LINE * (this.sentences[0].length - 1);
    this.extents = [0, 1].flatMap((k) => extentOf(view, k));
    const [a, b, c, d] = view.zoom || this.extents;
    this.y = this.withoutRoom(1, scale(c, d, this.bottom, this.top, (this.bottom - this.top) / 60));
    const wide = Math.max(0, ...this.y.ticks.map((tick) => pen.measureText(this.y.label(tick)).width));
    this.left = Math.ceil(TITLE_ROOM + LINE * this.sentences[1].length + wide + 8); // its title beside its numbers
    this.x = this.withoutRoom(0, scale(a, b, this.left, this.right, (this.right - this.left) / 90));
    this.px = pixels(view.xs, this.x);
    this.py = pixels(view.ys, this.y);
    const models = view.shown.reduce((n, i) => n + !view.marks.isPoint(i), 0);
    this.r = models <= 120 ? 5.5 : models <= 800 ? 4.2 : 3.2;
  }

  /** A scale without ticks below 0 where there are no values: in the room beside the marks. */
  withoutRoom(k, along) {
    const values = k ? this.view.ys : this.view.xs;
    if (!this.view.shown.some((i) => values[i] < 0)) along.ticks = along.ticks.filter((tick) => tick > -1e-12);
    return along;
  }

  drawGrid(pen) {
    pen.strokeStyle = this.colours.line;
    pen.fillStyle = this.colours.muted;
    pen.lineWidth = 1;
    pen.textAlign = "center";
    pen.textBaseline = "top";
    pen.beginPath();
    for (const tick of this.x.ticks) {
      const x = Math.round(this.x.at(tick)) + 0.5;
      pen.moveTo(x, this.top);
      pen.lineTo(x, this.bottom);
      pen.fillText(this.x.label(tick), x, this.bottom + 8);
    }
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (const tick of this.y.ticks) {
      const y = Math.round(this.y.at(tick)) + 0.5;
      pen.moveTo(this.left, y);
      pen.lineTo(this.right, y);
      pen.fillText(this.y.label(tick), this.left - 8, y);
    }
    pen.stroke();
  }

  /** The frontier, drawn on to the worse ends of the axes, and a tint over what is attained. */
  drawAttained(pen) {
    const { steps, signs } = this.view;
    if (!steps.length) return;
    const at = steps.map(([x, y]) => [this.x.at(x), this.y.at(y)]);
    const worst = [signs[0] > 0 ? -FAR : FAR, signs[1] > 0 ? FAR : -FAR]; // beyond the frame, however close one looks
    const level = [worst[0], (signs[0] > 0 ? at[0] : at.at(-1))[1]]; // x goes on to its worst at one end,
    const fall = [(signs[0] > 0 ? at.at(-1) : at[0])[0], worst[1]]; // y at the other
    const line = signs[0] > 0 ? [level, ...at, fall] : [fall, ...at, level];
    pen.beginPath();
    polygon(pen, 0, 0, [...line, worst]);
    pen.fillStyle = this.colours.attained;
    pen.fill();
    pen.beginPath();
    line.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
    pen.strokeStyle = this.colours.ink;
    pen.lineWidth = 1.4;
    pen.stroke();
  }

  /** Hatching over what a requirement on one of the axes excludes, and its limit. */
  drawExcluded(pen) {
    for (const need of this.view.needs) {
      for (const [key, axis] of [
        [this.view.keys[0], "x"],
        [this.view.keys[1], "y"],
      ]) {
        if (need.key !== key) continue;
        const limit = axis === "x" ? this.x.at(need.value) : this.y.at(need.value);
        const box = this.beyond(axis, need.sign, limit);
        pen.save();
        pen.beginPath();
        pen.rect(...box);
        pen.clip();
        pen.strokeStyle = this.colours.excluded;
        pen.lineWidth = 1;
        pen.beginPath();
        for (let k = this.left - this.height; k < this.right + this.height; k += 9) {
          pen.moveTo(k, this.bottom);
          pen.lineTo(k + this.height, this.bottom - this.height);
        }
        pen.stroke();
        pen.restore();
        pen.strokeStyle = this.colours.muted;
        pen.setLineDash([5, 4]);
        this.rule(pen, axis, limit);
        pen.setLineDash([]);
      }
    }
  }

  /** The side of a limit that a requirement excludes: [x, y, width, height]. */
  beyond(axis, sign, limit) {
    const [across, up] = [this.right - this.left, this.bottom - this.top];
    if (axis === "x")
      return sign > 0 ? [this.left, this.top, limit - this.left, up] : [limit, this.top, this.right - limit, up];
    return sign > 0 ? [this.left, limit, across, this.bottom - limit] : [this.left, this.top, across, limit - this.top];
  }

  rule(pen, axis, where) {
    const at = Math.floor(where) + 0.5; // on whole pixels, so that it is crisp
    pen.beginPath();
    pen.moveTo(axis === "x" ? at : this.left, axis === "x" ? this.top : at);
    pen.lineTo(axis === "x" ? at : this.right, axis === "x" ? this.bottom : at);
    pen.stroke();
  }

  /** What the best attainable classifier reaches, where the runs say it: a line, or a band where they differ. */
  drawReferences(pen) {
    pen.strokeStyle = this.colours.accent;
    pen.lineWidth = 1.5;
    pen.setLineDash([2, 4]);
    for (const { axis, low, high } of this.view.references) {
      const along = axis === "x" ? this.x : this.y;
      for (const value of new Set([low, high])) this.rule(pen, axis, along.at(value));
    }
    pen.setLineDash([]);
  }

  /** The words of the reference lines; of one beyond the frame, at its edge, with its value and an arrow. */
  drawNotes(pen) {
    for (const line of this.view.references) {
      const along = line.axis === "x" ? this.x : this.y;
      const side = line.low > along.to ? 1 : line.high < along.from ? -1 : 0;
      if (side) this.noteBeyond(pen, line, side);
      else if (line.axis === "x") this.noteAcross(pen, line);
      else this.noteAlong(pen, line);
    }
  }

  noteAcross(pen, { high, words, value }) {
    const at = this.x.at(Math.min(high, this.x.to));
    pen.save();
    pen.translate(at + (at > this.right - 16 ? -5 : 13), this.top + 6);
    pen.rotate(-Math.PI / 2);
    this.note(pen, `${words} ${value}`, 0, 0, "right");
    pen.restore();
  }

  /** Over or under a level line, where words cover no mark; its value alone where there is no such place. */
  noteAlong(pen, { low, words, value }) {
    const line = this.y.at(Math.max(low, this.y.from));
    const [x, y, text] = this.freePlace(pen, `${words} ${value}`, line) || [this.left + 6, line - 6, value];
    this.note(pen, text, x, y, "left");
  }

  freePlace(pen, text, line) {
    const wide = pen.measureText(text).width;
    const best = this.view.best;
    const covered = (x, y) =>
      this.view.shown.some((i) => {
        const [dx, dy, room] = [this.px[i] - x, this.py[i] - y, i === best ? 130 : 6]; // the best has words of its own
        return dx > -room && dx < wide + room && dy > -17 && dy < 5;
      });
    const ends = [this.left + 6, this.right - 6 - wide];
    const places = [line - 6, line + 15].flatMap((y) => ends.map((x) => [x, y, text]));
    return places.find(([x, y]) => y < this.bottom - 22 && !covered(x, y));
  }

  noteBeyond(pen, { axis, words, value }, side) {
    const text = `${words} ${value}`;
    const y = (axis === "y") === side > 0 ? this.top + 14 : this.bottom - 8;
    if (axis === "y") this.note(pen, `${side > 0 ? "↑" : "↓"} ${text}`, this.left + 6, y, "left");
    else if (side > 0) this.note(pen, `${text} →`, this.right - 4, y, "right");
    else this.note(pen, `← ${text}`, this.left + 4, y, "left");
  }

  note(pen, text, x, y, align) {
    pen.textAlign = align;
    pen.textBaseline = "alphabetic";
    this.rimmed(pen, text, x, y, this.colours.accent);
  }

  /** Thin lines through the operating points of each model, in their order: of all, or of what is pinned. */
  drawThreads(pen) {
    const { marks, shown, mask, pins } = this.view;
    const models = shown.filter((i) => !marks.isPoint(i));
    const few = models.length <= THREADS;
    const drawn = state.points === "all" ? models.filter((i) => few || mask[i]) : pins.map(marks.parent);
    pen.lineWidth = 0.8;
    pen.globalAlpha = 0.4;
    for (const i of drawn) this.thread(pen, i);
    pen.globalAlpha = 1;
  }

  /** A line through the operating points of a model; with `squares` the points as well, where they are not drawn. */
  thread(pen, model, squares = false) {
    const [start, end] = this.view.marks.pointsOf(model);
    if (state.points === "none" || start === end) return;
    pen.strokeStyle = pen.fillStyle = this.colours.kinds[lookOfSetting(this.view.marks.setting(model)).colour];
    pen.beginPath();
    let begun = false;
    for (let i = start; i < end; i++) {
      const [x, y] = [this.px[i], this.py[i]];
      if (Number.isNaN(x) || Number.isNaN(y)) continue;
      if (begun) pen.lineTo(x, y);
      else pen.moveTo(x, y);
      if (squares) pen.fillRect(x - 1.7, y - 1.7, 3.4, 3.4);
      begun = true;
    }
    pen.stroke();
  }

  /** Operating points as small squares, the efficient ones larger; several on one pixel are drawn once. */
  drawPoints(pen) {
    const { marks, shown, mask, permitted } = this.view;
    const taken = new Uint8Array((this.width + 1) * (this.height + 1));
    const layers = [[], [], []];
    for (const i of shown) if (marks.isPoint(i)) layers[mask[i] ? 2 : permitted[i] ? 1 : 0].push(i);
    layers.forEach((layer, rank) => {
      const size = rank === 2 ? 5 : layer.length > 4000 ? 2 : 3.4;
      let colour = null;
      pen.globalAlpha = [0.18, 0.75, 1][rank];
      for (const i of layer) {
        const [x, y] = [this.px[i], this.py[i]];
        const pixel = Math.round(y) * (this.width + 1) + Math.round(x);
        if (!this.inside(i) || taken[pixel] > rank) continue;
        taken[pixel] = rank + 1;
        const look = permitted[i] ? this.colours.kinds[lookOfSetting(marks.setting(i)).colour] : this.colours.muted;
        if (look !== colour) pen.fillStyle = colour = look;
        pen.fillRect(x - size / 2, y - size / 2, size, size);
        if (rank === 2) {
          pen.strokeStyle = this.colours.ink;
          pen.lineWidth = 1;
          pen.strokeRect(x - size / 2, y - size / 2, size, size);
        }
      }
    });
    pen.globalAlpha = 1;
  }

  /** Whether a mark is more than one of many: efficient, best, pinned; of few marks each is. */
  standsOut(i) {
    const { mask, best, pins, ranked, shown } = this.view;
    return mask[i] || i === best || pins.includes(i) || !ranked || shown.length <= FEW;
  }

  drawBars(pen) {
    const { marks, shown, permitted, bars } = this.view;
    const [[x0, x1], [y0, y1]] = bars;
    const paths = new Map();
    for (const i of shown) {
      if ((marks.isPoint(i) && i !== this.view.best) || !this.standsOut(i)) continue;
      const colour = permitted[i] ? this.colours.kinds[lookOfSetting(marks.setting(i)).colour] : this.colours.muted;
      if (!paths.has(colour)) paths.set(colour, new Path2D());
      const path = paths.get(colour);
      path.moveTo(this.x.at(x0[i]), this.py[i]);
      if (!Number.isNaN(x0[i])) path.lineTo(this.x.at(x1[i]), this.py[i]);
      if (Number.isNaN(y0[i])) continue;
      path.moveTo(this.px[i], this.y.at(y0[i]));
      path.lineTo(this.px[i], this.y.at(y1[i]));
    }
    pen.lineWidth = 1.1;
    pen.globalAlpha = 0.35;
    for (const [colour, path] of paths) {
      pen.strokeStyle = colour;
      pen.stroke(path);
    }
    pen.globalAlpha = 1;
  }

  /** The models, those that requirements exclude first and grey, the efficient ones last, larger and outlined. */
  drawModels(pen) {
    const { marks, shown, mask, permitted, best, pins } = this.view;
    const seen = new Set([best, ...pins]);
    const sprites = new Map();
    pen.imageSmoothingEnabled = false;
    const layers = [[], [], []];
    for (const i of shown) if (!marks.isPoint(i)) layers[!permitted[i] ? 0 : mask[i] || seen.has(i) ? 2 : 1].push(i);
    layers.forEach((layer, rank) => {
      pen.globalAlpha = rank === 0 ? 0.5 : rank === 1 && this.view.ranked ? FAINT : 1;
      for (const i of layer) {
        const { colour, shape } = lookOfSetting(marks.setting(i));
        const same = rank > 0 && isConstant(marks, i);
        const name = `${rank} ${mask[i]} ${same} ${colour} ${shape}`;
        if (!sprites.has(name)) sprites.set(name, this.sprite(rank, mask[i], same, colour, shape));
        const { canvas, size } = sprites.get(name);
        if (Number.isNaN(this.px[i]) || Number.isNaN(this.py[i])) continue;
        pen.drawImage(canvas, this.whole(this.px[i] - size / 2), this.whole(this.py[i] - size / 2), size, size);
      }
    });
    pen.globalAlpha = 1;
    pen.imageSmoothingEnabled = true;
  }

  /** The nearest place on whole pixels of the screen, where a copy needs no smoothing: three times as fast. */
  whole(at) {
    return Math.round(at * this.ratio) / this.ratio;
  }

  /** A mark: of what is excluded small, grey and hollow; of a constant prediction hollow too, as it is of no use. */
  sprite(rank, efficient, same, colour, shape) {
    const { kinds, muted, ink, surface } = this.colours;
    const look = { colour: kinds[colour], shape };
    const r = this.r * (efficient ? 1.25 : 1);
    if (rank === 0)
      return sprite(
        { colour: muted, shape },
        { r: this.r * 0.85, edge: muted, width: 1, hollow: true, ratio: this.ratio },
      );
    const edge = same ? look.colour : efficient ? ink : surface;
    return sprite(look, { r, edge, width: efficient ? 1.5 : 0.8, hollow: same, ratio: this.ratio });
  }

  /** A ring and a word about the best that is permitted. */
  drawBest(pen) {
    const i = this.view.best;
    if (i < 0 || !this.inside(i)) return;
    pen.strokeStyle = this.colours.accent;
    pen.fillStyle = this.colours.accent;
    pen.lineWidth = 2.2;
    pen.beginPath();
    pen.arc(this.px[i], this.py[i], this.r + 7, 0, 2 * Math.PI);
    pen.stroke();
    const onLeft = this.px[i] > this.right - 120;
    pen.textAlign = onLeft ? "right" : "left";
    pen.textBaseline = "middle";
    pen.font = pen.font.replace("12px", "600 12px");
    this.rimmed(pen, "best permitted", this.px[i] + (onLeft ? -1 : 1) * (this.r + 12), this.py[i], this.colours.accent);
    pen.font = pen.font.replace("600 ", "");
  }

  /** The names of the pinned and the efficient models, where they cover no other name and no efficient mark. */
  drawNames(pen) {
    const { marks, shown, mask, best, pins } = this.view;
    const models = shown
      .filter((i) => mask[i] && !marks.isPoint(i) && this.inside(i))
      .sort((i, j) => this.px[i] - this.px[j]);
    const order = [...new Set([...pins.filter((i) => this.inside(i)), models[0], models.at(-1), ...models])];
    const crowd = shown.length > THREADS; // of many marks only those that stand out keep their place
    const taken = shown.filter((i) => (!crowd || mask[i] || i === best) && this.inside(i)).map((i) => this.boxAt(i, 5));
    if (best >= 0) taken.push(...this.bestBoxes(pen));
    const said = new Set();
    pen.textBaseline = "middle";
    pen.textAlign = "left";
    for (const i of order.slice(0, this.width < 520 ? 4 : 14)) {
      if (i === undefined || (i === best && !pins.includes(i))) continue;
      const letter = pins.includes(i) ? `${LETTERS[pins.indexOf(i)]} ` : "";
      const name = settings.label[marks.setting(i)];
      const text = letter + (name.length > 44 ? `${name.slice(0, 43)}\u2026` : name);
      if (!letter && said.has(name)) continue;
      const box = this.placeFor(pen, i, text, taken);
      if (!box) continue;
      said.add(name);
      taken.push(box);
      this.rimmed(pen, text, box[0], box[1] + 7, letter ? this.colours.accent : this.colours.ink);
    }
  }

  /** A box [left, top, right, bottom] about a mark. */
  boxAt(i, room) {
    return [this.px[i] - room, this.py[i] - room, this.px[i] + room, this.py[i] + room];
  }

  /** Those of the ring about the best and of its words. */
  bestBoxes(pen) {
    const best = this.view.best;
    const wide = pen.measureText("best permitted").width + this.r + 22;
    const [x, y] = [this.px[best], this.py[best]];
    return [
      this.boxAt(best, this.r + 8),
      x > this.right - 120 ? [x - wide, y - 8, x, y + 8] : [x, y - 8, x + wide, y + 8],
    ];
  }

  /** Where words of one line fit beside a mark: a box; null where they fit nowhere. */
  placeFor(pen, i, text, taken) {
    const [wide, gap] = [pen.measureText(text).width, this.r + 6];
    const [x, y] = [this.px[i], this.py[i]];
    const corners = [
      [x + gap, y - 7],
      [x - gap - wide, y - 7],
      [x - wide / 2, y - gap - 13],
      [x - wide / 2, y + gap],
      [x + gap, y + gap - 4],
      [x - gap - wide, y - gap - 10],
    ];
    const boxes = corners.map(([left, top]) => [left, top, left + wide, top + 14]);
    const within = ([left, top, right, bottom]) =>
      left > this.left + 2 && right < this.right - 2 && top > this.top && bottom < this.bottom - 2;
    const apart = (a, b) => a[2] < b[0] || b[2] < a[0] || a[3] < b[1] || b[3] < a[1];
    const own = this.boxAt(i, 5).join();
    return (
      boxes.find((box) => within(box) && taken.every((other) => other.join() === own || apart(box, other))) || null
    );
  }

  /** Words on a rim of the ground's colour, legible over lines. */
  rimmed(pen, text, x, y, colour) {
    pen.lineWidth = 4;
    pen.lineJoin = "round";
    pen.strokeStyle = this.colours.surface;
    pen.fillStyle = colour;
    pen.strokeText(text, x, y);
    pen.fillText(text, x, y);
  }

  /** The names of the axes, and which end is better. */
  drawWords(pen) {
    const [below, beside] = this.sentences;
    pen.fillStyle = this.colours.ink;
    pen.textBaseline = "alphabetic";
    pen.textAlign = "center";
    const middle = (this.left + this.right) / 2;
    below.forEach((text, k) => pen.fillText(text, middle, this.height - 10 - LINE * (below.length - 1 - k)));
    pen.save();
    pen.translate(13, (this.top + this.bottom) / 2);
    pen.rotate(-Math.PI / 2);
    beside.forEach((text, k) => pen.fillText(text, 0, LINE * k, this.bottom - this.top));
    pen.restore();
  }

  /** Whether a mark lies in the frame. */
  inside(i) {
    const [x, y] = [this.px[i], this.py[i]];
    return x >= this.left - 1 && x <= this.right + 1 && y >= this.top - 1 && y <= this.bottom + 1;
  }

  /** The shown marks by cell. */
  cells() {
    const grid = new Map();
    for (const i of this.view.shown) {
      if (!this.inside(i)) continue;
      const key = this.cell(this.px[i], this.py[i]);
      if (!grid.has(key)) grid.set(key, []);
      grid.get(key).push(i);
    }
    return grid;
  }

  cell(x, y) {
    return Math.floor(x / CELL) * 4096 + Math.floor(y / CELL);
  }

  /** The mark nearest to a pixel, a model before an operating point and the efficient first; -1 where none is near. */
  nearest(x, y, reach = REACH) {
    this.grid ||= this.cells();
    const { marks, mask } = this.view;
    let [best, least] = [-1, Infinity];
    const around = Math.ceil(reach / CELL);
    for (let i = -around; i <= around; i++) {
      for (let j = -around; j <= around; j++) {
        const key = (Math.floor(x / CELL) + i) * 4096 + Math.floor(y / CELL) + j;
        for (const mark of this.grid.get(key) || []) {
          const far = Math.hypot(this.px[mark] - x, this.py[mark] - y);
          const handicap = (marks.isPoint(mark) ? 2 : 0) + (mask[mark] ? 0 : 1);
          if (far <= reach && far + handicap < least) [best, least] = [mark, far + handicap];
        }
      }
    }
    return best;
  }

  /** Rings about the picked and the hovered mark, on the canvas above. */
  highlight(picked, hovered) {
    const pen = this.pen(this.over);
    pen.save();
    pen.beginPath();
    pen.rect(this.left - 12, this.top - 12, this.right - this.left + 24, this.bottom - this.top + 24);
    pen.clip();
    for (const [i, colour, width] of [
      ...this.view.pins.map((pin) => [pin, this.colours.accent, 1.5]),
      [hovered, this.colours.ink, 1.5],
      [picked, this.colours.accent, 2.5],
    ]) {
      if (i < 0 || i >= this.px.length || !this.inside(i)) continue;
      pen.globalAlpha = 0.9;
      pen.lineWidth = 1.4;
      this.thread(pen, this.view.marks.parent(i), true);
      pen.globalAlpha = 1;
      pen.strokeStyle = colour;
      pen.lineWidth = width;
      pen.beginPath();
      pen.arc(this.px[i], this.py[i], this.r + 4, 0, 2 * Math.PI);
      pen.stroke();
    }
    pen.restore();
  }

  /** The box that the pointer draws, on the canvas above. */
  drawBox([x0, y0], [x1, y1]) {
    const pen = this.pen(this.over);
    pen.fillStyle = this.colours.accent;
    pen.globalAlpha = 0.12;
    pen.fillRect(x0, y0, x1 - x0, y1 - y0);
    pen.globalAlpha = 1;
    pen.strokeStyle = this.colours.accent;
    pen.strokeRect(x0, y0, x1 - x0, y1 - y0);
  }
}

/**
 * The name of an axis and which end is better, in one line where there is room, else in two: without the unit, and with
 * the arrow alone where its words do not fit.
 */
function sentence(pen, words, [better, arrow], room) {
  const brief = words.split(" (")[0];
  const fits = (text) => pen.measureText(text).width <= room;
  for (const text of [words, brief]) if (fits(text + better)) return [text + better];
  const parts = brief.split(" ");
  let n = parts.length;
  while (n > 1 && !fits(parts.slice(0, n).join(" "))) n -= 1;
  const [first, rest] = [parts.slice(0, n).join(" "), parts.slice(n).join(" ")];
  const second = fits(rest + better) ? rest + better : rest + arrow;
  return [first, second.replace(/^ · /, "")].filter(Boolean);
}
