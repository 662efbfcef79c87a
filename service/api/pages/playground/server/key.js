// The API key: asked for in a dialog, kept in this tab's session storage, sent to this server and shown nowhere.

import { find } from "../dom.js";

const NAME = "pheye-key";
const SENDABLE = /^[\x20-\x7e\xa0-\xff]*$/; // in a header of HTTP
const WHY = find("key-why").textContent;
const listeners = [];
let memory = "";

export function key() {
  try {
    return sessionStorage.getItem(NAME) ?? memory;
  } catch {
    return memory; // storage may be forbidden; then the key lasts as long as the page
  }
}

function keep(value) {
  memory = value;
  try {
    sessionStorage.setItem(NAME, value);
  } catch {
    // as above
  }
}

/** Headers that carry the key, if there is one. */
export const keyHeaders = () => (key() ? { Authorization: `Bearer ${key()}` } : {});

/** Call `listener` whenever another key is to be used. */
export const onKeyChange = (listener) => listeners.push(listener);

/** Open the dialog; `then` is called if a key is given. */
export function askForKey(why = WHY, then = () => {}) {
  const dialog = find("key-dialog");
  if (dialog.open) return;
  find("key-why").textContent = why;
  find("key-field").value = key();
  find("key-wrong").hidden = true;
  dialog.returnValue = "";
  dialog.addEventListener("close", () => dialog.returnValue === "use" && then(), { once: true });
  dialog.showModal();
  find("key-field").select();
}

function use(event) {
  event.preventDefault();
  const given = find("key-field").value.trim();
  find("key-wrong").hidden = SENDABLE.test(given);
  if (!SENDABLE.test(given)) return find("key-field").select();
  keep(given);
  find("key-dialog").close("use");
  return listeners.forEach((listener) => listener());
}

find("key-form").addEventListener("submit", use);
find("key-cancel").addEventListener("click", () => find("key-dialog").close(""));
find("key-button").addEventListener("click", () => askForKey());
