// The list of questions: one field each, added, removed, pasted as a list; as many as one request may ask. Enter asks all.

import { announce, composing, el, find } from "../dom.js";
import { onService, service } from "../server/service.js";

const MAX_CHARS = 16384;
const MARKS = /^\s*(?:[-*•–—]|\(?\d{1,3}[.):]|Q\d*[.):])\s+/i; // of a list: bullets and numbers

const fields = () => [...find("questions").querySelectorAll("textarea")];

/** The questions that were written, in order. */
export const questions = () => fields().map((field) => field.value.trim()).filter(Boolean);

/** Put the cursor where a question is missing. */
export const focusQuestion = () => (fields().find((field) => !field.value.trim()) ?? fields()[0]).focus();

/** Write these questions, in place of those that were there. */
export function setQuestions(texts) {
  find("questions").replaceChildren();
  for (const text of texts.length ? texts : [""]) addQuestion(text);
}

/** Write a question where none is yet, else below the others; gives its field, or nothing if there is no room. */
export function suggest(text) {
  const free = fields().find((field) => !field.value.trim() || field.value === text);
  if (free) free.value = text;
  return free ?? (full() ? undefined : addQuestion(text));
}

function addQuestion(text = "", after = null) {
  const field = el("textarea", { rows: 1, maxlength: MAX_CHARS, placeholder: "What does the sign say?", enterkeyhint: "go" });
  field.value = text;
  field.addEventListener("keydown", submitOnEnter);
  field.addEventListener("paste", pasteList);
  const remove = el("button", { type: "button", class: "quiet remove" }, "×");
  const item = el("li", {}, field, remove);
  remove.addEventListener("click", () => {
    item.remove();
    note();
    number();
    focusQuestion();
  });
  if (after) after.closest("li").after(item);
  else find("questions").append(item);
  number();
  return field;
}

function submitOnEnter(event) {
  if (event.key !== "Enter" || event.shiftKey || composing(event)) return;
  event.preventDefault();
  event.target.form.requestSubmit();
}

/** Several lines become several questions, unless something stands in the field already. */
function pasteList(event) {
  const field = event.target;
  const text = event.clipboardData.getData("text/plain");
  const lines = text.split(/\r?\n/).map((line) => line.replace(MARKS, "").trim()).filter(Boolean);
  const replaces = field.selectionEnd - field.selectionStart === field.value.length;
  if (lines.length < 2 || !replaces) return;
  event.preventDefault();
  const room = service.questions - fields().length + 1;
  field.value = lines[0];
  const added = [];
  for (const line of lines.slice(1, room)) added.push(addQuestion(line, added.at(-1) ?? field));
  (added.at(-1) ?? field).focus();
  const left = lines.length - room;
  const limit = left > 0 ? ` This server answers ${service.questions} at once; ${left} more ${left === 1 ? "was" : "were"} left out.` : "";
  note(`Pasted as ${added.length + 1} questions.${limit}`, () => together(field, added, text));
}

/** The pasted text as one question after all. */
function together(field, added, text) {
  field.value = text.trim();
  added.forEach((each) => each.closest("li").remove());
  note();
  number();
  field.focus();
}

const full = () => fields().length >= service.questions;

function note(words = "", undo = null) {
  const button = undo && el("button", { type: "button", class: "quiet small", onclick: undo }, "Keep as one");
  find("questions-note").replaceChildren(...(words ? [words] : []), ...(button ? [" ", button] : []));
}

function number() {
  const all = fields();
  all.forEach((field, index) => {
    const name = all.length > 1 ? `Question ${index + 1}` : "Question";
    field.setAttribute("aria-label", name);
    field.nextElementSibling.setAttribute("aria-label", `Remove question ${index + 1}`);
    field.nextElementSibling.hidden = all.length === 1;
  });
  find("add-question").disabled = full();
  find("add-question").textContent = full() ? `${service.questions} questions at once is the limit` : "+ Another question";
}

addQuestion();
find("add-question").addEventListener("click", () => {
  note();
  addQuestion().focus();
  if (full()) announce(`${service.questions} questions at once is the limit.`);
});
onService(number);
