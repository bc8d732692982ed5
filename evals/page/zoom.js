// Looking closer at a part of the plot: by a box that the pointer draws, two fingers, Ctrl and the wheel, buttons, or
// the keys +, - and 0.

const CLOSEST = 200; // times, at most
const BOX = 6; // pixels that a pointer travels before it draws a box rather than clicks

/** Show a part of the axes, [from, to] of x, then of y; null, or what holds the whole, shows the whole. */
function lookAt(part) {
  const [x0, x1, y0, y1] = plot.extents;
  const holds = (from, to, least, most) => to - from >= (1 - 1e-9) * (most - least);
  const whole = !part || (holds(part[0], part[1], x0, x1) && holds(part[2], part[3], y0, y1));
  state.zoom = whole ? null : part;
  write();
  view.zoom = state.zoom;
  plot.draw(view);
  hideTip();
  showZoom();
}

/** So many times closer, about a pixel; not farther than the whole. */
function closer(times, [px, py] = [(plot.left + plot.right) / 2, (plot.top + plot.bottom) / 2]) {
  const part = [plot.x, plot.y].flatMap((along, k) => {
    const [least, most] = plot.extents.slice(2 * k, 2 * k + 2);
    const about = along.value(k ? py : px);
    const span = Math.min(most - least, Math.max((along.to - along.from) / times, (most - least) / CLOSEST));
    const from = about - ((about - along.from) / (along.to - along.from)) * span;
    const start = Math.max(least, Math.min(from, most - span));
    return [start, start + span];
  });
  lookAt(part);
}

function showZoom() {
  byId("whole").hidden = !state.zoom;
}

/** Values between two pixels, as a part of the axes. */
function between([ax, ay], [bx, by]) {
  const within = (pixel, from, to) => Math.max(from, Math.min(to, pixel));
  const xs = [ax, bx].map((pixel) => plot.x.value(within(pixel, plot.left, plot.right)));
  const ys = [ay, by].map((pixel) => plot.y.value(within(pixel, plot.top, plot.bottom)));
  return [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
}

function listenForZoom(frame) {
  const place = (event) => {
    const box = frame.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  listenForBox(frame, place);
  listenForFingers(frame, place);
  frame.addEventListener(
    "wheel",
    (event) => {
      if (!event.ctrlKey && !event.metaKey) return; // the wheel alone scrolls the page
      event.preventDefault();
      closer(Math.exp(-event.deltaY / 200), place(event));
    },
    { passive: false },
  );
  frame.addEventListener("dblclick", () => lookAt(null));
  frame.addEventListener("keydown", (event) => {
    const times = { "+": 1.5, "=": 1.5, "-": 1 / 1.5 }[event.key];
    const about = view.hovered >= 0 ? [plot.px[view.hovered], plot.py[view.hovered]] : undefined;
    if (event.ctrlKey || event.metaKey) return; // the browser's own zoom
    if (times) closer(times, about);
    else if (event.key === "0") lookAt(null);
  });
  byId("closer").addEventListener("click", () => closer(1.5));
  byId("farther").addEventListener("click", () => closer(1 / 1.5));
  byId("whole").addEventListener("click", () => lookAt(null));
}

/** A box drawn with the mouse or a pen becomes the whole plot; the click that ends it picks nothing. */
function listenForBox(frame, place) {
  let start = null;
  let drawn = false;
  frame.addEventListener("pointerdown", (event) => {
    drawn = false;
    start = event.pointerType === "touch" || event.button ? null : place(event);
  });
  frame.addEventListener("pointermove", (event) => {
    if (!start) return;
    const here = place(event);
    drawn ||= Math.hypot(here[0] - start[0], here[1] - start[1]) > BOX;
    if (!drawn) return;
    if (!frame.hasPointerCapture(event.pointerId)) frame.setPointerCapture(event.pointerId);
    event.stopImmediatePropagation(); // nothing is hovered meanwhile
    hideTip();
    plot.drawBox(start, here);
  });
  frame.addEventListener("pointerup", (event) => {
    const here = place(event);
    const large = drawn && start && Math.abs(here[0] - start[0]) > BOX && Math.abs(here[1] - start[1]) > BOX;
    if (large) lookAt(between(start, here));
    else if (drawn) plot.highlight(view.picked, view.hovered);
    start = null;
  });
  frame.addEventListener("pointercancel", () => (start = null));
  frame.addEventListener("click", (event) => {
    if (drawn) event.stopImmediatePropagation();
    drawn = false;
  });
}

/** Two fingers apart or together. */
function listenForFingers(frame, place) {
  const fingers = new Map();
  const apart = () => {
    const [[ax, ay], [bx, by]] = fingers.values();
    return [Math.hypot(ax - bx, ay - by), [(ax + bx) / 2, (ay + by) / 2]];
  };
  frame.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "touch") fingers.set(event.pointerId, place(event));
  });
  frame.addEventListener("pointermove", (event) => {
    if (!fingers.has(event.pointerId)) return;
    if (fingers.size !== 2) return void fingers.set(event.pointerId, place(event));
    const [before] = apart();
    fingers.set(event.pointerId, place(event));
    const [now, middle] = apart();
    if (before > 0 && now > 0) closer(now / before, middle);
  });
  for (const end of ["pointerup", "pointercancel", "pointerleave"])
    frame.addEventListener(end, (event) => fingers.delete(event.pointerId));
}
