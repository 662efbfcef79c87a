// The code of one request behind a disclosure: three languages, and a button that copies what is shown.

import { el } from "../dom.js";
import { key } from "../server/key.js";
import { curl, httpx, openai } from "./code.js";
import { copyButton } from "./copy.js";

const LANGUAGES = [
  ["curl", curl],
  ["Python (httpx)", httpx],
  ["OpenAI client", openai],
];
let panels = 0;

/** A closed panel; the code is made when it is opened, for the key in use then. */
export function codePanel(request) {
  const code = el("code");
  const pre = el("pre", { tabindex: 0, "aria-label": "Code" }, code);
  const write = (make) => {
    code.textContent = make(request, new URL(".", document.baseURI).href, Boolean(key()));
  };
  const panel = el(
    "details",
    { class: "code", ontoggle: () => panel.open && write(chosen()) },
    el("summary", {}, "Code"),
    el("div", { class: "row" }, tabs(write), copyButton("Copy", () => pre.textContent, { shown: pre })),
    pre,
  );
  const chosen = () => LANGUAGES[Number(panel.querySelector("input:checked").value)][1];
  return panel;
}

function tabs(write) {
  const name = `language-${(panels += 1)}`;
  const choice = ([title, make], index) =>
    el(
      "label",
      {},
      el("input", { type: "radio", name, value: index, checked: index === 0, onchange: () => write(make) }),
      el("span", {}, title),
    );
  return el("fieldset", { class: "segments compact" }, el("legend", { class: "hidden-words" }, "Language"), ...LANGUAGES.map(choice));
}
