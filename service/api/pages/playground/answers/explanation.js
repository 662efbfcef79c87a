// Where the model looked: words that show their heat map, the whole answer's, and the share of the global view by layer.
// Offsets count characters as Python does (code points), not as JavaScript does.

import { el, isPlain, percent, svg } from "../dom.js";
import { drawHeat } from "../image/heat.js";
import { showHeat } from "../image/picture.js";

const CAPTION = "attention shows where the model read, it is not a proof";

/** Make the words of a finished part answer to pointer, touch and keyboard, and add the figure below them. */
export function explain({ text, extra }, explanation, image) {
  const canvas = el("canvas", { class: "heat" });
  const label = el("span", { class: "shown" });
  const show = (map, words) => {
    drawHeat(canvas, map);
    showHeat(image, map);
    label.textContent = words;
  };
  const rest = () => {
    drawHeat(canvas, explanation.map);
    showHeat(image, null);
    label.textContent = "the whole answer";
  };
  const whole = wordButton("whole answer", explanation.map, show, rest);
  whole.classList.add("whole");
  const words = markWords(text, explanation.words, show, rest);
  rove([whole, ...words]);
  extra.append(whole, figure(canvas, label, explanation.layers, image));
  rest();
}

function markWords(text, words, show, rest) {
  const characters = Array.from(text.textContent);
  const between = (start, end) => characters.slice(start, end).join("");
  const marks = words.map((word) => wordButton(between(word.start, word.end), word.map, show, rest));
  let at = 0;
  const pieces = words.flatMap((word, index) => {
    const gap = between(at, word.start);
    at = word.end;
    return [gap, marks[index]];
  });
  text.removeAttribute("aria-live"); // it was read out already
  if (words.length) text.replaceChildren(...pieces, between(at, characters.length));
  return marks;
}

function wordButton(word, map, show, rest) {
  const on = () => show(map, `“${word}”`);
  const listeners = { onpointerenter: on, onfocus: on, onpointerleave: rest, onblur: rest };
  return el("span", { class: "word", role: "button", tabindex: -1, ...listeners }, word);
}

/** One stop for Tab; arrows, Home and End go from word to word. */
function rove(words) {
  words[0].tabIndex = 0;
  const go = (index) => {
    const next = words[Math.min(Math.max(index, 0), words.length - 1)];
    words.forEach((word) => (word.tabIndex = word === next ? 0 : -1));
    next.focus();
  };
  words.forEach((word, index) =>
    word.addEventListener("keydown", (event) => {
      const steps = { ArrowRight: index + 1, ArrowDown: index + 1, ArrowLeft: index - 1, ArrowUp: index - 1 };
      const to = { ...steps, Home: 0, End: words.length - 1 }[event.key];
      if (to === undefined || !isPlain(event)) return; // Alt and an arrow is the way back to another page
      event.preventDefault();
      go(to);
    }),
  );
}

function figure(canvas, label, layers, image) {
  const shown = image.url && image.width ? el("img", { src: image.url, alt: "" }) : null;
  return el(
    "figure",
    { class: "looked" },
    el("div", { class: "frame" }, shown, canvas),
    el(
      "figcaption",
      {},
      el("p", {}, "Where the model looked for ", label),
      layerChart(layers),
      el("p", { class: "caption" }, CAPTION),
    ),
  );
}

function layerChart(layers) {
  const height = 56;
  const step = Math.min(Math.max(180 / layers.length, 16), 36);
  const words = layers.map(({ layer, share }) => `layer ${layer} ${percent(share)}`).join(", ");
  const columns = layers.flatMap(({ share }, index) => [
    svg("rect", { class: "local", x: index * step, width: step - 4, height, rx: 2 }),
    svg("rect", { class: "global", x: index * step, width: step - 4, y: height * (1 - share), height: height * share, rx: 2 }),
  ]);
  const numbers = layers.map(({ layer }, index) =>
    svg("text", { x: index * step + (step - 4) / 2, y: height + 12, "text-anchor": "middle" }, String(layer)),
  );
  const size = { viewBox: `0 0 ${layers.length * step - 4} ${height + 14}`, height: height + 14 };
  return el(
    "div",
    { class: "layers" },
    svg("svg", { ...size, role: "img", "aria-label": `Share of the global view: ${words}` }, ...columns, ...numbers),
    el("p", { class: "key" }, el("span", { class: "global" }), "global view ", el("span", { class: "local" }), "local tiles, by cross-attention layer"),
  );
}
