// Above the answers: how many are kept, their download, and the button that clears them.

import { announce, el, find } from "../dom.js";
import { asCsv, asJson } from "./export.js";
import { forget, kept } from "./store.js";

const SURE_S = 4;
let keeps = true;

/** Show what is kept; `works` is false once this browser has refused to keep an answer. */
export function showKept(works = keeps) {
  keeps = works;
  const count = kept().length;
  find("kept").hidden = !count && keeps;
  for (const id of ["kept-json", "kept-csv", "kept-clear"]) find(id).hidden = !count;
  const many = count === 1 ? "1 answer" : `${count} answers`;
  const refused = count ? `${many} kept; this browser has no room for more` : "This browser keeps no answers";
  find("kept-note").textContent = keeps ? `${many} kept in this browser` : refused;
}

function download(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
  announce(`${name} is downloaded.`);
}

/** The first press asks, the second clears. */
function clear(event) {
  const button = event.currentTarget;
  if (!button.dataset.sure) {
    button.dataset.sure = "asked";
    button.textContent = "Clear all?";
    announce("Press again to clear all answers.");
    setTimeout(unsure, 1000 * SURE_S);
    return;
  }
  unsure();
  forget();
  find("answers").querySelectorAll(":scope > li").forEach((card) => card.dataset.state in ENDED && card.remove());
  find("nothing").hidden = find("answers").children.length > 0;
  showKept();
  announce("All answers are cleared.");
  find("submit").focus();
}

const ENDED = { done: 1, failed: 1, cancelled: 1 };

function unsure() {
  delete find("kept-clear").dataset.sure;
  find("kept-clear").textContent = "Clear";
}

find("kept-json").addEventListener("click", () => download("pheye-answers.json", "application/json", asJson(kept())));
find("kept-csv").addEventListener("click", () => download("pheye-answers.csv", "text/csv", asCsv(kept())));
find("kept-clear").addEventListener("click", clear);
