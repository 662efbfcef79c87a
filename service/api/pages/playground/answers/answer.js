// One request on the page, from the moment it is sent: its questions, texts, state, costs, failure, explanation.
// Knows how an answer looks; how it is fetched, and kept for another day, is others'.

import { announce, duration, el, when } from "../dom.js";
import { codePanel } from "./code-panel.js";
import { copyButton } from "./copy.js";
import { explain } from "./explanation.js";
import { problemView } from "./problem.js";
import { timingBar } from "./timings.js";
import { choiceList, CONFIDENCE, confidenceWords, fileFacts, warningsView, warningWords } from "./told.js";

const FINISHED = { stop: "finished", length: "cut at the token limit" };

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

  finish(end) {
    const { usage, timings } = end;
    this.close(end, `${duration(timings.total)}`);
    const explanations = end.explanations ?? (end.explanation ? [end.explanation] : []);
    explanations.forEach((each, index) => explain(this.parts[index], each, this.request.image));
    const complete = `The answer is complete: ${usage.completion_tokens} tokens in ${duration(timings.total)}.`;
    announce([complete, ...warningWords(end)].join(" "));
  }

  /** Show an answer of another day, as it was kept: {texts, end, at}; `end` is null if it was cancelled. */
  restore({ texts, end, at }) {
    texts.forEach((chunk, index) => this.chunk({ chunk, index }));
    if (end) this.close(end, when(at));
    else this.end("cancelled", `Cancelled, ${when(at)}`);
    for (const { text } of this.parts) text.removeAttribute("aria-live"); // nobody is waiting for it
  }

  close(end, words) {
    this.end("done", words);
    this.parts.forEach((part, index) => finishPart(part, end, index));
    this.foot.append(...warningsView(end), ...fileFacts(end), badges(end.usage, end.timings), timingBar(end.timings));
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

/** What the end of a stream tells of one of its answers; with several questions it has a list of each. */
function finishPart({ text, reason, confidence, extra, said }, end, index) {
  const told = (end.finish_reasons ?? [end.finish_reason])[index];
  reason.textContent = FINISHED[told] ?? told;
  confidence.textContent = confidenceWords((end.confidences ?? [end.confidence])[index]);
  extra.append(...choiceList((end.choices_by_question ?? [end.choices])[index], said));
  if (!said) text.append(el("em", {}, "The answer is empty."));
}

function badges(usage, timings) {
  const tiles = usage.image_features_cached ? "features cached: 0 tiles encoded" : `${usage.image_tiles} tiles encoded`;
  const rate = timings.decode > 0 ? `${(usage.completion_tokens / timings.decode).toFixed(1)} tokens/s` : null;
  const badge = (text, name) => text && el("li", { class: name }, text);
  return el(
    "ul",
    { class: "badges" },
    badge(tiles, usage.image_features_cached ? "cached" : "encoded"),
    badge(`${usage.completion_tokens} tokens`, "tokens"),
    badge(rate, "rate"),
    badge(`${usage.image_tokens} image tokens`, "read"),
  );
}
