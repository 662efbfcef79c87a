// Answers that survive a reload, in this browser's local storage: bounded, cleared at a press. Never a key.
// Each has an entry of its own, so that several tabs never write over each other's. Where storage is forbidden or full, the
// page works as before and forgets. What was written by another version, or by somebody else, is read as a stranger's.

import { isRecord } from "./record.js";

const PREFIX = `pheye-answer:${new URL(".", document.baseURI).pathname}:`; // services behind one name have theirs each
const MOST = 50; // answers
const MOST_CHARS = 2_000_000; // browsers give about five million

/** What is kept, newest first; what cannot be read is nothing. */
export function kept() {
  return entries().map(({ record }) => record);
}

function entries() {
  const found = names().map((name) => ({ name, ...read(name) }));
  return found.filter(({ record }) => record).sort((one, other) => other.record.at - one.record.at);
}

function names() {
  try {
    return Object.keys(localStorage).filter((name) => name.startsWith(PREFIX));
  } catch {
    return []; // forbidden, as in some private windows
  }
}

function read(name) {
  try {
    const text = localStorage.getItem(name);
    const record = JSON.parse(text);
    return { chars: text.length, record: isRecord(record) ? record : null };
  } catch {
    return { chars: 0, record: null };
  }
}

/** Keep a record, in place of the one with the same id; false if this browser does not keep it. */
export function keep(record) {
  const text = JSON.stringify(record);
  const name = PREFIX + record.id;
  const others = entries().filter((each) => each.name !== name);
  let room = MOST_CHARS - text.length;
  if (room < 0) return false;
  const stay = others.findIndex(({ chars }, index) => (room -= chars) < 0 || index >= MOST - 1);
  if (stay >= 0) others.splice(stay).forEach((each) => remove(each.name));
  while (!write(name, text)) {
    if (!others.length) return false;
    remove(others.pop().name); // the oldest makes room
  }
  return true;
}

function write(name, text) {
  try {
    localStorage.setItem(name, text);
    return true;
  } catch {
    return false; // full, or forbidden
  }
}

function remove(name) {
  try {
    localStorage.removeItem(name);
  } catch {
    // nothing was kept
  }
}

export const forget = () => names().forEach(remove);

/** Call `listener` when another tab has kept or cleared answers. */
export const onOtherTab = (listener) =>
  addEventListener("storage", ({ key }) => (key === null || key.startsWith(PREFIX)) && listener());
