// The images at hand as a row of small pictures, when there are several: one is on the stage, any can be taken away.

import { el, find } from "../dom.js";
import { onPicture, picture, pictures, remove, show } from "./picture.js";

function item(image) {
  const face = image.thumb ? el("img", { src: image.thumb, alt: image.name }) : el("span", { class: "unseen" }, image.name);
  const marks = { "aria-current": image === picture() && "true", title: image.refused || image.name };
  return el(
    "li",
    {},
    el("button", { type: "button", class: image.refused ? "pick refused" : "pick", ...marks, onclick: () => move(image, show) }, face),
    el("button", { type: "button", class: "drop", "aria-label": `Remove ${image.name}`, onclick: () => move(image, remove) }, "×"),
  );
}

/** The row is made anew; the focus stays at its place. */
function move(image, act) {
  const at = pictures().indexOf(image);
  act(image);
  const items = find("tray").children;
  (items[Math.min(at, items.length - 1)]?.querySelector(act === show ? ".pick" : ".drop") ?? find("file")).focus();
}

function draw() {
  const all = pictures();
  find("tray").hidden = all.length < 2;
  find("tray").replaceChildren(...(all.length < 2 ? [] : all.map(item)));
}

onPicture(draw);
