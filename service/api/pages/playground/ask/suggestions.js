// What the model knows, in one line, and questions that suit it: those of the sample on the stage, else the model's own.
// A model that does not say what it knows has neither.

import { announce, el, find } from "../dom.js";
import { claim, onPicture, picture } from "../image/picture.js";
import { isSample, sampleName, takeSample } from "../image/sources.js";
import { model } from "../server/model.js";
import { onService, service } from "../server/service.js";
import { choose } from "./form.js";
import { suggest } from "./questions.js";

const samples = [...document.querySelectorAll("[data-sample]")];

const sampleOf = (name) => service.samples.find(({ file }) => file === name);

function ask(question) {
  choose("task", "vqa");
  const field = suggest(question);
  if (!field) announce(`${service.questions} questions at once is the limit.`);
  else field.focus();
}

/** One press from an empty page to an answer that is right. */
async function example() {
  const [sample] = known();
  const mine = claim();
  if (!(await takeSample(sample.file, mine)) || !mine()) return;
  const [question] = sample.questions;
  if (question) ask(question);
  else choose("task", "caption");
  find("ask").requestSubmit();
}

/** The samples that the model answers rightly, as it says, of those that this page has. */
const known = () => service.samples.filter(({ file }) => isSample(file));

function drawKnown() {
  find("knows").hidden = !service.knows;
  find("knows-model").textContent = model.name;
  find("knows-words").textContent = service.knows.replace(/\.$/, "");
  find("knows-example").hidden = !known().length;
  if (service.told) offerSamples();
}

/** Those that the model answers rightly; all of them if it does not say which these are. */
function offerSamples() {
  const offered = service.samples.map(({ file }) => file);
  for (const button of samples) button.hidden = offered.length > 0 && !offered.includes(button.dataset.sample);
  find("samples").hidden = samples.every((button) => button.hidden);
}

function drawQuestions() {
  const own = sampleOf(sampleName(picture()?.sample))?.questions;
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
