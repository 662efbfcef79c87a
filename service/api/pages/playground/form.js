// The form, from what is filled in to one request: a path and the fields of a multipart form, as the server reads them.
// Knows the native routes' fields; knows neither how a request is sent nor how its answer is shown.

import { find } from "./dom.js";
import { picture } from "./picture.js";
import { focusQuestion, questions } from "./questions.js";

const form = find("ask");
const NUMBERS = ["max_tokens", "temperature", "top_p"];

/** Something is missing; `field` is where. */
class Missing extends Error {
  constructor(words, focus) {
    super(words);
    this.focus = focus;
  }
}

/** The request as filled in, or null after saying what is missing. */
export function readRequest() {
  const wrong = find("ask-wrong");
  try {
    const request = build();
    wrong.hidden = true;
    return request;
  } catch (missing) {
    if (!(missing instanceof Missing)) throw missing;
    wrong.textContent = missing.message;
    wrong.hidden = false;
    missing.focus();
    return null;
  }
}

function build() {
  if (!picture()) throw new Missing("Choose an image first, or one of the samples.", () => find("file").focus());
  const asked = form.elements.task.value === "vqa" ? vqa() : caption();
  const settings = settingsJson();
  const extra = settings === "{}" ? [] : [["settings", settings]];
  if (form.elements.explain.checked) extra.push(["explain", "true"]);
  return { ...asked, image: picture(), settings, fields: [...asked.fields, ...extra, ["stream", "true"]] };
}

function caption() {
  const kind = form.elements.kind.value;
  const field = kind === "scene_text" ? ["style", kind] : ["length", kind];
  const titles = { short: "Short caption", normal: "Caption", long: "Long caption", scene_text: "Scene text caption" };
  return { path: "v1/caption", key: "caption", titles: [titles[kind]], fields: [field], kind };
}

function vqa() {
  const asked = questions();
  if (!asked.length) throw new Missing("Write a question.", focusQuestion);
  const style = form.elements.answer_style.value;
  const choices = style === "choice" ? lines("choices") : [];
  if (style === "choice" && (choices.length < 2 || choices.length > 26)) {
    throw new Missing("Write 2 to 26 choices, one on each line.", () => form.elements.choices.focus());
  }
  const several = asked.length > 1;
  const fields = asked.map((text) => [several ? "questions" : "question", text]);
  fields.push(["answer_style", style], ...choices.map((choice) => ["choices", choice]));
  return { path: "v1/vqa", key: several ? "answers" : "answer", titles: asked, fields, style, choices };
}

const lines = (name) => form.elements[name].value.split("\n").map((line) => line.trim()).filter(Boolean);

// Written by hand and not by JSON.stringify: a seed may be larger than a JavaScript number can hold exactly.
function settingsJson() {
  const parts = [];
  for (const name of NUMBERS) {
    const field = form.elements[name];
    if (!field.validity.valid) throw new Missing(`${label(field)}: ${field.validationMessage}`, () => open(field));
    if (field.value !== "") parts.push(`"${name}": ${field.valueAsNumber}`);
  }
  const seed = form.elements.seed;
  if (!seed.validity.valid) throw new Missing("Seed: a whole number, 0 or more.", () => open(seed));
  if (seed.value.trim()) parts.push(`"seed": ${BigInt(seed.value.trim())}`);
  const stop = form.elements.stop.value.split("\n").filter(Boolean).map((line) => line.replaceAll("\\n", "\n"));
  if (stop.length) parts.push(`"stop": ${JSON.stringify(stop)}`);
  return `{${parts.join(", ")}}`;
}

const label = (field) => field.closest("label").firstChild.textContent.trim();

function open(field) {
  find("settings").open = true;
  field.focus();
}

function summarize() {
  let text = "";
  try {
    text = settingsJson().slice(1, -1).replaceAll('"', "").replaceAll("_", " ").replaceAll(": ", " ");
  } catch {
    text = "something is out of range";
  }
  find("settings-summary").textContent = text;
}

function show() {
  const asksQuestions = form.elements.task.value === "vqa";
  find("caption-fields").hidden = asksQuestions;
  find("vqa-fields").hidden = !asksQuestions;
  find("choices-field").hidden = form.elements.answer_style.value !== "choice";
  find("submit").textContent = asksQuestions ? "Ask" : "Caption";
  find("ask-wrong").hidden = true;
  summarize();
}

form.addEventListener("change", show);
form.addEventListener("input", summarize);
show();
