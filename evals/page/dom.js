// Elements made by hand: text goes in as text, never as markup.

const byId = (id) => document.getElementById(id);

/** An element with attributes, listeners (`onclick`) and children; texts become text nodes. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && name !== "list" && typeof value !== "string") made[name] = value;
    else if (value !== null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== ""));
  return made;
}

/** A long name that may break after its underscores and before its signs. */
function breaking(text) {
  return text.split(/(?<=[_+])|(?=[<>]=)/).flatMap((part, i) => (i ? [element("wbr"), part] : [part]));
}

/** Say something to those who hear the page. */
function announce(text) {
  byId("said").textContent = text;
}

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = element("textarea", { readOnly: true }); // where a page from disk may not use the clipboard
    field.value = text;
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
  const before = button.textContent;
  button.textContent = "Copied";
  announce("Copied");
  setTimeout(() => (button.textContent = before), 1500);
}

function download(name, text, type) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  const link = element("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

/** The mark of a regularizer, for legends and rows. */
function swatch(look, size = 14) {
  const canvas = element("canvas", { class: "swatch", width: size * 2, height: size * 2, "aria-hidden": "true" });
  const pen = canvas.getContext("2d");
  const paint = () => {
    pen.setTransform(2, 0, 0, 2, 0, 0);
    pen.clearRect(0, 0, size, size);
    pen.fillStyle = palette().kinds[look.colour];
    pen.beginPath();
    SHAPES[look.shape](pen, size / 2, size / 2, size * 0.36);
    pen.fill();
  };
  canvas.repaint = paint;
  paint();
  return canvas;
}

// --- focus -------------------------------------------------------------------------------------------------------

const MADE_ANEW = ["needs", "legend", "facets", "verdict", "pins", "record", "rows", "head"]; // by new views or data
const FOCUSED = "a, button, input, summary, code, tr";

/** Where the focus is in a part that may be made anew: the element, its part, its name or its place there; else null. */
function placeOfFocus() {
  const own = document.activeElement;
  const part = own && MADE_ANEW.find((id) => byId(id).contains(own));
  if (!part) return null;
  return { own, part, code: own.dataset.code, i: Array.from(byId(part).querySelectorAll(FOCUSED)).indexOf(own) };
}

/** Put the focus there again, if its element is gone: to the row of that name, or what now stands in that place. */
function focusAt(place) {
  if (!place || document.body.contains(place.own)) return;
  const there = Array.from(byId(place.part).querySelectorAll(FOCUSED));
  const found = place.code === undefined ? there[place.i] : there.find((own) => own.dataset.code === place.code);
  (found || byId("add")).focus({ preventScroll: true });
}
