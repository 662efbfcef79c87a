// A button that copies a text; where a browser keeps the clipboard to itself, the text is shown and selected instead.

import { announce, el } from "../dom.js";

const COPIED_S = 2;

/** `textOf` gives the text, at once or later; `shown` is an element that holds it already, or null. */
export function copyButton(label, textOf, { shown = null, name = "button small", title = null } = {}) {
  const button = el("button", { type: "button", class: name, title }, label);
  button.addEventListener("click", async () => {
    const text = await textOf();
    const copied = await write(text);
    if (!copied) select(shown ?? standIn(button, text));
    button.textContent = copied ? "Copied" : "Selected";
    announce(copied ? "Copied." : "The text is selected; copy it with the keyboard.");
    setTimeout(() => (button.textContent = label), 1000 * COPIED_S);
  });
  return button;
}

/** Browsers give the clipboard to secure pages only. */
async function write(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

const select = (element) => getSelection().selectAllChildren(element);

/** The text below the buttons, once. */
function standIn(button, text) {
  const place = button.closest("li") ?? button.parentElement;
  const given = place.querySelector(".stand-in") ?? el("p", { class: "stand-in", tabindex: 0 });
  given.textContent = text;
  place.append(given);
  return given;
}
