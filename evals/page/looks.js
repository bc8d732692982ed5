// How a regularizer looks: colour and shape, the same whatever the filters select. Seven colours and eight shapes
// have no common divisor, so 56 regularizers look different. The colours stand in the style sheet, by theme.

const COLOURS = 7;
const SHAPES = [disc, square, triangle, diamond, wedge, plus, cross, hexagon];

const lookOf = new Map(); // stays as it is when new data bring further regularizers

/** The look of the regularizer of a setting. */
const lookOfSetting = (setting) => looksOfSettings("all")[setting];
const lookOfKind = (kind) => looksOfSettings("all") && lookOf.get(kind);
const looksOfSettings = rememberedOfData(() => {
  for (const [kind] of valuesOfFacet("regularizer")) {
    const i = lookOf.size;
    if (!lookOf.has(kind)) lookOf.set(kind, { colour: i % COLOURS, shape: i % SHAPES.length });
  }
  return Array.from({ length: SETTINGS }, (_, setting) => lookOf.get(facetOf("regularizer", setting)));
});

/** The colours of the theme that is shown. */
function palette() {
  const style = getComputedStyle(document.documentElement);
  const named = (name) => style.getPropertyValue(`--${name}`).trim();
  return {
    kinds: Array.from({ length: COLOURS }, (_, i) => named(`kind-${i}`)),
    ink: named("ink"),
    muted: named("muted"),
    line: named("line"),
    surface: named("surface"),
    attained: named("attained"),
    accent: named("accent"),
    excluded: named("excluded"),
  };
}

function polygon(path, x, y, corners) {
  corners.forEach(([dx, dy], i) => (i ? path.lineTo(x + dx, y + dy) : path.moveTo(x + dx, y + dy)));
  path.closePath();
}

function regular(path, x, y, r, n, turn) {
  const corner = (i) => [r * Math.sin(turn + (2 * Math.PI * i) / n), -r * Math.cos(turn + (2 * Math.PI * i) / n)];
  polygon(
    path,
    x,
    y,
    Array.from({ length: n }, (_, i) => corner(i)),
  );
}

function disc(path, x, y, r) {
  path.moveTo(x + r, y);
  path.arc(x, y, r, 0, 2 * Math.PI);
}

function square(path, x, y, r) {
  path.rect(x - 0.88 * r, y - 0.88 * r, 1.76 * r, 1.76 * r);
}

function triangle(path, x, y, r) {
  regular(path, x, y + 0.2 * r, 1.25 * r, 3, 0);
}

function wedge(path, x, y, r) {
  regular(path, x, y - 0.2 * r, 1.25 * r, 3, Math.PI);
}

function diamond(path, x, y, r) {
  regular(path, x, y, 1.2 * r, 4, 0);
}

function hexagon(path, x, y, r) {
  regular(path, x, y, 1.08 * r, 6, 0);
}

function plus(path, x, y, r) {
  polygon(path, x, y, armed(1.15 * r, 0));
}

function cross(path, x, y, r) {
  polygon(path, x, y, armed(1.2 * r, Math.PI / 4));
}

/** Corners of a cross with thick arms. */
function armed(r, turn) {
  const w = 0.4 * r;
  const corners = [
    [w, -r],
    [w, -w],
    [r, -w],
    [r, w],
    [w, w],
    [w, r],
    [-w, r],
    [-w, w],
    [-r, w],
    [-r, -w],
    [-w, -w],
    [-w, -r],
  ];
  const [c, s] = [Math.cos(turn), Math.sin(turn)];
  return corners.map(([x, y]) => [c * x - s * y, s * x + c * y]);
}

/** A mark of one look on a small canvas of its own, drawn once and copied often. */
function sprite({ colour, shape }, { r, edge, width, hollow, ratio }) {
  const size = Math.ceil(2.8 * r + 2 * width + 2);
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = size * ratio;
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  pen.beginPath();
  SHAPES[shape](pen, size / 2, size / 2, r);
  pen.lineJoin = "round";
  if (!hollow) {
    pen.fillStyle = colour;
    pen.fill();
  }
  pen.strokeStyle = edge;
  pen.lineWidth = width;
  pen.stroke();
  return { canvas, size };
}
