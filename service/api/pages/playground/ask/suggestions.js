// What the model knows, in one line, and questions that suit it: those of the sample on the stage, else the model's own.
// A model that does not say what it knows has neither.

import { announce, el, find } from "../dom.js";
import { onPicture, picture } from "../image/picture.js";
import { takeSample } from "../image/sources.js";
import { model } from "../server/model.js";
import { onService, service } from "../server/service.js";
import { choose } from "./form.js";
import { suggest } from "./questions.js";

const FIRST_SAMPLE = "scene.png"; // of the world that the model by default was made for

const sampleOf = (name) => service.samples.find(({ file }) => file === name);

function ask(question) {
  choose("task", "vqa");
  const field = suggest(question);
  if (!field) announce(`${service.questions} questions at once is the limit.`);
  else field.focus();
}

/** One press from an empty page to an answer that is right. */
async function example() {
  const sample = service.samples[0]?.file ?? FIRST_SAMPLE;
  if (!(await takeSample(sample))) return;
  const [question] = sampleOf(sample)?.questions ?? service.suggested;
  if (question) ask(question);
  find("ask").requestSubmit();
}

function drawKnown() {
  find("knows").hidden = !service.knows;
  find("knows-model").textContent = model.name;
  find("knows-words").textContent = service.knows.replace(/\.$/, "");
  for (const button of document.querySelectorAll("[data-sample]")) {
    const right = Boolean(sampleOf(button.dataset.sample));
    button.classList.toggle("right", right);
    button.title = right ? "The model answers this one rightly" : "";
  }
}

function drawQuestions() {
  const own = sampleOf(picture()?.sample?.split("/").pop())?.questions;
  const list = own?.length ? own : service.suggested;
  find("suggestions").hidden = !list.length;
  find("suggested").replaceChildren(
    ...list.map((text) => el("li", {}, el("button", { type: "button", class: "chip", onclick: () => ask(text) }, text))),
  );
}

find("knows-example").addEventListener("click", example);
onPicture(drawQuestions);
onService(() => {
  drawKnown();
  drawQuestions();
});
