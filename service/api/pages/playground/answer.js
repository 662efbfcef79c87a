// One request on the page, from the moment it is sent: its questions, texts, state, costs, failure, explanation.
// Knows how an answer looks; how it is fetched is `app.js`'s.

import { codePanel } from "./code-panel.js";
import { announce, duration, el } from "./dom.js";
import { explain } from "./explanation.js";
import { problemView } from "./problem.js";
import { timingBar } from "./timings.js";
import { choiceList, CONFIDENCE, confidenceWords, fileFacts, warningsView, warningWords } from "./told.js";

const FINISHED = { stop: "finished", length: "cut at the token limit" };

export class AnswerCard {
  /** `actions`: {cancel, again}, called when their buttons are pressed. */
  constructor(request, actions) {
    this.request = request;
    this.actions = actions;
    this.state = el("span", { class: "state" });
    this.cancel = el("button", { type: "button", class: "button small", onclick: actions.cancel }, "Cancel");
    this.again = el("button", { type: "button", class: "quiet small", onclick: actions.again }, "Ask again");
    this.parts = request.titles.map((title) => this.part(title));
    this.foot = el("div", { class: "foot" });
    this.element = el(
      "li",
      { class: "panel answer" },
      el("div", { class: "head" }, this.thumbnail(), this.state, this.cancel, this.again),
      ...this.parts.map((part) => part.element),
      this.foot,
      codePanel(request),
    );
  }

  thumbnail() {
    const { url, width, name } = this.request.image;
    return width ? el("img", { src: url, alt: name, width: 40, height: 30 }) : null;
  }

  part(title) {
    const text = el("p", { class: "text", "aria-live": "polite", "aria-busy": "true" });
    const reason = el("small", { class: "reason" });
    const confidence = el("small", { class: "confidence", title: CONFIDENCE });
    const extra = el("div", { class: "extra" });
    const end = el("p", { class: "end" }, reason, confidence);
    return { text, reason, confidence, extra, element: el("section", {}, el("h3", {}, title), text, end, extra) };
  }

  /** Sent, nothing has come yet; also the start of another try. */
  begin() {
    this.run("waiting", "Waiting for the first word …");
    this.foot.replaceChildren();
    for (const { text, reason, confidence, extra } of this.parts) {
      for (const each of [text, reason, confidence, extra]) each.replaceChildren();
      text.setAttribute("aria-busy", "true");
    }
  }

  chunk({ chunk, index = 0 }) {
    this.run("writing", "Writing …");
    this.parts[index].text.append(chunk);
  }

  finish(end) {
    const { usage, timings } = end;
    this.end("done", `${duration(timings.total)}`);
    this.parts.forEach((part, index) => finishPart(part, end, index));
    this.foot.append(...warningsView(end), ...fileFacts(end), badges(usage, timings), timingBar(timings));
    const explanations = end.explanations ?? (end.explanation ? [end.explanation] : []);
    explanations.forEach((each, index) => explain(this.parts[index], each, this.request.image));
    const complete = `The answer is complete: ${usage.completion_tokens} tokens in ${duration(timings.total)}.`;
    announce([complete, ...warningWords(end)].join(" "));
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
  }

  end(state, words) {
    const held = this.cancel === document.activeElement;
    this.run(state, words);
    this.cancel.hidden = true;
    this.again.hidden = false;
    if (held) this.again.focus(); // the button that had the focus is gone
    for (const { text } of this.parts) text.setAttribute("aria-busy", "false");
  }
}

/** What the end of a stream tells of one of its answers; with several questions it has a list of each. */
function finishPart({ text, reason, confidence, extra }, end, index) {
  const told = (end.finish_reasons ?? [end.finish_reason])[index];
  const answer = text.textContent;
  reason.textContent = FINISHED[told] ?? told;
  confidence.textContent = confidenceWords((end.confidences ?? [end.confidence])[index]);
  extra.append(...choiceList((end.choices_by_question ?? [end.choices])[index], answer));
  if (!answer) text.append(el("em", {}, "The answer is empty."));
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
