// The list of questions: one field each, added and removed, Enter asks them all.

import { el, find } from "./dom.js";

const MAX_CHARS = 16384;

const fields = () => [...find("questions").querySelectorAll("textarea")];

/** The questions that were written, in order. */
export const questions = () => fields().map((field) => field.value.trim()).filter(Boolean);

/** Put the cursor where a question is missing. */
export const focusQuestion = () => (fields().find((field) => !field.value.trim()) ?? fields()[0]).focus();

export function addQuestion(text = "") {
  const field = el("textarea", { rows: 1, maxlength: MAX_CHARS, placeholder: "What does the sign say?", enterkeyhint: "go" });
  field.value = text;
  field.addEventListener("keydown", submitOnEnter);
  const remove = el("button", { type: "button", class: "quiet remove" }, "×");
  const item = el("li", {}, field, remove);
  remove.addEventListener("click", () => {
    item.remove();
    number();
    focusQuestion();
  });
  find("questions").append(item);
  number();
  return field;
}

function submitOnEnter(event) {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  event.target.form.requestSubmit();
}

function number() {
  const all = fields();
  all.forEach((field, index) => {
    const name = all.length > 1 ? `Question ${index + 1}` : "Question";
    field.setAttribute("aria-label", name);
    field.nextElementSibling.setAttribute("aria-label", `Remove question ${index + 1}`);
    field.nextElementSibling.hidden = all.length === 1;
  });
}

addQuestion();
find("add-question").addEventListener("click", () => addQuestion().focus());
