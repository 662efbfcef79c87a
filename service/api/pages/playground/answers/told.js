// What the end of an answer tells beside its text: warnings, the file as it was read, confidence, the choices' probabilities.
// Knows the end as `end.js` reads it; what is not told shows nothing.

import { el, likely, svg } from "../dom.js";
import { model } from "../server/model.js";
import { service } from "../server/service.js";
import { copyButton } from "./copy.js";

const OUTSIDE = "outside_known_world";
const REAL = "pheye serve --model miguelcarv/Pheye-x4-448";
const WARNINGS = {
  image_end_missing: "The end of the file is missing; the picture was read as far as it goes.",
  [OUTSIDE]: "This picture is outside what the model knows.",
};
const MOST_COUNTED = 10000; // frames; the server counts no further

/** What the figure of the confidence means. */
export const CONFIDENCE =
  "The probability that the model gave to each token it wrote, the end included: the geometric mean, " +
  "before temperature and top p. 100 % is certain; that it is right is another matter.";

/** The warnings in plain words; a word that this page does not know stays as it is. */
export const warningWords = ({ warnings }) => warnings.map((word) => (Object.hasOwn(WARNINGS, word) ? WARNINGS[word] : word));

/** The warnings as they are shown; that of a picture outside the model's world says what to do. */
export function warningsView(end) {
  const others = end.warnings.filter((word) => word !== OUTSIDE);
  const notes = warningWords({ warnings: others }).map((words) =>
    el("p", { class: "warning" }, el("strong", {}, "Warning."), ` ${words}`),
  );
  return others.length === end.warnings.length ? notes : [outsideNote(end.model), ...notes];
}

/** What to do about a picture that the model was not made for. */
function outsideNote(named) {
  const name = named || model.name;
  const knows = service.knows && name === model.name ? ` It knows: ${service.knows.replace(/\.$/, "")}.` : "";
  return el(
    "div",
    { class: "outside", role: "note", "aria-label": "Outside what the model knows" },
    el("p", {}, el("strong", {}, `${name} does not know pictures like this one.`), knows),
    el("p", {}, "For photographs, serve a checkpoint that was trained on them:"),
    el("div", { class: "command" }, el("code", {}, REAL), copyButton("Copy", () => REAL, { title: "Copy the command" })),
  );
}

/** One line about the file as it was read; nothing if that is not told. */
export function fileFacts(image) {
  if (!image) return null;
  const { format, width, height, frames, clear } = image;
  const several = frames >= MOST_COUNTED ? "10,000 or more" : String(frames);
  const facts = [
    format,
    `${width} × ${height}`,
    frames > 1 && `first of ${several} ${format === "TIFF" ? "pages" : "frames"}`,
    clear && "transparency on white",
  ];
  const words = facts.filter(Boolean).join(", ");
  return el("p", { class: "facts" }, el("span", { class: "hidden-words" }, "Image as read: "), words);
}

/** `confidence` is the mean logarithm of the tokens' probabilities, or null. */
export const confidenceWords = (confidence) =>
  Number.isFinite(confidence) ? `confidence ${likely(Math.exp(confidence))} per token` : "";

/** The choices with their probabilities; the one that was answered is marked. */
export function choiceList(choices, answer) {
  if (!choices.length) return [];
  const items = choices.map((choice) => choiceItem(choice, (choice.letter || choice.text) === answer.trim()));
  return [el("ul", { class: "choices", "aria-label": "Probability of each choice" }, ...items)];
}

function choiceItem({ letter, text, probability }, answered) {
  const name = el("span", { class: "name" }, letter ? el("span", { class: "letter" }, letter, " ") : null, text);
  if (answered) name.append(el("span", { class: "mark" }, " ✓", el("span", { class: "hidden-words" }, " the answer")));
  const bar = svg("rect", { width: (100 * probability).toFixed(2), height: 4 });
  return el(
    "li",
    { class: answered && "answered" },
    name,
    el("span", { class: "share" }, " ", likely(probability)),
    svg("svg", { viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" }, bar),
  );
}
