// One request on the page, from the moment it is sent: its questions, texts, state, costs, failure, explanation.
// Knows how an answer looks; how it is fetched, and kept for another day, is others'.

import { announce, duration, el, narrow, when } from "../dom.js";
import { codePanel } from "./code-panel.js";
import { copyButton } from "./copy.js";
import { readEnd } from "./end.js";
import { explain } from "./explanation.js";
import { problemView } from "./problem.js";
import { timingBar } from "./timings.js";
import { choiceList, CONFIDENCE, confidenceWords, fileFacts, warningsView, warningWords } from "./told.js";

const FINISHED = { stop: "finished", length: "cut at the token limit" };
const SILENCE_S = 30; // twice the time after which the service says that it is still there
const SILENCE = `No word for ${SILENCE_S} s. You can wait, or cancel.`;

export class AnswerCard {
  /** `actions`: {cancel, again, link}; the first two are called when their buttons are pressed, `link` gives {href, words}. */
  constructor(request, actions) {
    this.request = request;
    this.actions = actions;
    this.state = el("span", { class: "state" });
    this.cancel = el("button", { type: "button", class: "button small", onclick: actions.cancel }, "Cancel");
    this.again = el("button", { type: "button", class: "quiet small", onclick: actions.again }, "Ask again");
    this.copies = [this.copy(), this.link()];
    this.linked = el("p", { class: "linked", hidden: true });
    this.parts = request.titles.map((title) => this.part(title));
    this.foot = el("div", { class: "foot" });
    this.element = el(
      "li",
      { class: "panel answer" },
      el("div", { class: "head" }, this.thumbnail(), this.state, this.cancel, ...this.copies, this.again),
      this.linked,
      ...this.parts.map((part) => part.element),
      this.foot,
      codePanel(request),
    );
  }

  thumbnail() {
    const { thumb, name } = this.request.image;
    return thumb ? el("img", { src: thumb, alt: name, title: name, width: 40, height: 30 }) : el("span", { class: "named" }, name);
  }

  copy() {
    const title = "Copy the text of the answer";
    return copyButton("Copy", () => this.plain(), { name: "quiet small", title });
  }

  link() {
    const textOf = async () => {
      const { href, words } = await this.actions.link();
      this.linked.textContent = words && `Link: ${words}`;
      this.linked.hidden = !words;
      return href;
    };
    return copyButton("Link", textOf, { name: "quiet small", title: "Copy a link that asks this again" });
  }

  part(title) {
    const text = el("p", { class: "text", "aria-live": "polite", "aria-busy": "true" });
    const reason = el("small", { class: "reason" });
    const confidence = el("small", { class: "confidence", title: CONFIDENCE });
    const extra = el("div", { class: "extra" });
    const end = el("p", { class: "end" }, reason, confidence);
    return { text, reason, confidence, extra, said: "", element: el("section", {}, el("h3", {}, title), text, end, extra) };
  }

  /** What was answered so far, one text for each question. */
  get texts() {
    return this.parts.map(({ said }) => said);
  }

  /** The answer as plain text; with several questions each stands above its answer. */
  plain() {
    if (this.parts.length === 1) return this.texts[0];
    return this.request.titles.map((title, index) => `${title}\n${this.texts[index]}`).join("\n\n");
  }

  /** Waits until it is sent. */
  queue() {
    this.run("queued", "In the queue");
  }

  /** Sent, nothing has come yet; also the start of another try. */
  begin() {
    this.run("waiting", "Waiting for the first word …");
    this.foot.replaceChildren();
    for (const part of this.parts) {
      for (const each of [part.text, part.reason, part.confidence, part.extra]) each.replaceChildren();
      part.said = "";
      part.text.setAttribute("aria-busy", "true");
    }
  }

  chunk({ chunk, index = 0 }) {
    this.run("writing", "Writing …");
    this.parts[index].said += chunk;
    this.parts[index].text.append(chunk);
  }

  finish(event) {
    const end = readEnd(event, this.parts.length);
    const time = duration(end.timings.total);
    this.close(end, time);
    end.explanations.forEach((each, index) => each && explain(this.parts[index], each, this.request.image));
    const complete = `The answer is complete: ${end.usage.tokens} tokens in ${time}.`;
    announce([complete, ...warningWords(end)].join(" "));
  }

  /** Show an answer of another day, as it was kept: {texts, end, at}; `end` is null if it was cancelled. */
  restore({ texts, end, at }) {
    this.parts.forEach((_, index) => this.chunk({ chunk: texts[index] ?? "", index }));
    if (end) this.close(readEnd(end, this.parts.length), when(at));
    else this.end("cancelled", `Cancelled, ${when(at)}`);
    for (const { text } of this.parts) text.removeAttribute("aria-live"); // nobody is waiting for it
  }

  close(end, words) {
    this.end("done", words);
    this.parts.forEach((part, index) => finishPart(part, end, index));
    this.foot.append(...warningsView(end), costs(fileFacts(end.image), badges(end.usage, end.timings), timingBar(end.timings)));
  }

  fail(problem) {
    this.end("failed", "Failed");
    this.foot.append(problemView(problem, this.actions.again));
  }

  cancelled() {
    this.end("cancelled", "Cancelled");
    announce("Cancelled.");
  }

  run(state, words) {
    clearTimeout(this.silence);
    if (["waiting", "writing"].includes(state)) this.silence = setTimeout(() => (this.state.textContent = SILENCE), 1000 * SILENCE_S);
    this.element.dataset.state = state;
    this.state.textContent = words;
    this.cancel.hidden = false;
    this.again.hidden = true;
    for (const each of this.copies) each.hidden = true;
  }

  end(state, words) {
    const held = this.cancel === document.activeElement;
    this.run(state, words);
    this.cancel.hidden = true;
    this.again.hidden = false;
    this.copies[0].hidden = !this.texts.some(Boolean);
    this.copies[1].hidden = false;
    if (held) this.again.focus(); // the button that had the focus is gone
    for (const { text } of this.parts) text.setAttribute("aria-busy", "false");
  }
}

/** What the end of a stream tells of one of its answers. */
function finishPart({ text, reason, confidence, extra, said }, end, index) {
  const told = end.reasons[index];
  reason.textContent = Object.hasOwn(FINISHED, told) ? FINISHED[told] : told;
  confidence.textContent = confidenceWords(end.confidences[index]);
  extra.append(...choiceList(end.choices[index], said));
  if (!said) text.append(el("em", {}, "The answer is empty."));
}

/** What it took, which a narrow page shows at a press. */
const costs = (...shown) =>
  el("details", { class: "costs", open: !narrow() }, el("summary", {}, "File, tokens and time"), el("div", {}, ...shown));

function badges({ cached, tiles, tokens, imageTokens }, { decode }) {
  const badge = (text, name) => text && el("li", { class: name }, text);
  return el(
    "ul",
    { class: "badges" },
    badge(cached ? "features cached: 0 tiles encoded" : `${tiles} tiles encoded`, cached ? "cached" : "encoded"),
    badge(`${tokens} tokens`, "tokens"),
    badge(decode > 0 && `${(tokens / decode).toFixed(1)} tokens/s`, "rate"),
    badge(`${imageTokens} image tokens`, "read"),
  );
}
