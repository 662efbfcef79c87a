// The form, from what is filled in to one request: a path and the fields of a multipart form, as the server reads them;
// and back, from what a request was asked with to the form. Knows the native routes' fields; sends and shows nothing.

import { find } from "../dom.js";
import { onPicture, pictures } from "../image/picture.js";
import { focusQuestion, questions, setQuestions } from "./questions.js";

const form = find("ask");
const NUMBERS = ["max_tokens", "temperature", "top_p"];
const TEXTS = [...NUMBERS, "seed", "stop", "choices"];
const PICKED = ["task", "kind", "answer_style"];

/** Something is missing; `field` is where. */
class Missing extends Error {
  constructor(words, focus) {
    super(words);
    this.focus = focus;
  }
}

/** One request for each image, as filled in; none after saying what is missing. */
export function readRequests() {
  const wrong = find("ask-wrong");
  try {
    const images = sendable();
    const asked = build();
    wrong.hidden = true;
    return images.map((image) => ({ ...asked, image }));
  } catch (missing) {
    if (!(missing instanceof Missing)) throw missing;
    wrong.textContent = missing.message;
    wrong.hidden = false;
    missing.focus();
    return [];
  }
}

function sendable() {
  const images = pictures();
  if (!images.length) throw new Missing("Choose an image first, or one of the samples.", () => find("file").focus());
  const sent = images.filter((image) => !image.refused);
  if (!sent.length) throw new Missing(images[0].refused, () => find("file").focus());
  return sent;
}

function build() {
  const asked = form.elements.task.value === "vqa" ? vqa() : caption();
  const settings = settingsJson();
  const extra = settings === "{}" ? [] : [["settings", settings]];
  if (form.elements.explain.checked) extra.push(["explain", "true"]);
  return { ...asked, settings, fields: [...asked.fields, ...extra, ["stream", "true"]], filled: filled() };
}

/** What stands in the form, as texts, so that it can be filled in again. */
function filled() {
  const values = Object.fromEntries([...PICKED, ...TEXTS].map((name) => [name, form.elements[name].value]));
  return { ...values, explain: form.elements.explain.checked, questions: questions() };
}

/** Fill in the form as `filled` told it; what is absent becomes what it is at first. */
export function fillIn(values) {
  form.reset();
  for (const name of PICKED) if (values[name]) choose(name, values[name]);
  for (const name of TEXTS) form.elements[name].value = values[name] ?? "";
  form.elements.explain.checked = Boolean(values.explain);
  setQuestions(values.questions ?? []);
  find("settings").open = settingNames().some((name) => form.elements[name].value);
  refresh();
}

const settingNames = () => TEXTS.filter((name) => name !== "choices");

/** Choose one of several, such as the task; a value that is not offered changes nothing. */
export function choose(name, value) {
  const choice = [...form.elements[name]].find((each) => each.value === value);
  if (choice) choice.checked = true;
  refresh();
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

function refresh() {
  const asksQuestions = form.elements.task.value === "vqa";
  find("caption-fields").hidden = asksQuestions;
  find("vqa-fields").hidden = !asksQuestions;
  find("choices-field").hidden = form.elements.answer_style.value !== "choice";
  find("ask-wrong").hidden = true;
  nameButton();
  summarize();
}

function nameButton() {
  const count = pictures().filter((image) => !image.refused).length;
  const verb = form.elements.task.value === "vqa" ? "Ask" : "Caption";
  const several = verb === "Ask" ? ` about ${count} images` : ` ${count} images`;
  find("submit").textContent = count > 1 ? verb + several : verb;
}

form.addEventListener("change", refresh);
form.addEventListener("input", summarize);
onPicture(() => {
  find("ask-wrong").hidden = true;
  nameButton();
});
refresh();
