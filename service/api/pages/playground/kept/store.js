// Answers that survive a reload, in this browser's local storage: bounded, newest first, cleared at a press.
// Several tabs write to one list. Where storage is forbidden or full, the page works as before and forgets. Never a key.

const NAME = `pheye-history:${new URL(".", document.baseURI).pathname}`; // services behind one name have one each
const MOST = 50; // answers
const MOST_CHARS = 2_000_000; // browsers give about five million

/** What is kept, newest first; what cannot be read is nothing. */
export function kept() {
  try {
    const list = JSON.parse(localStorage.getItem(NAME));
    return Array.isArray(list) ? list.filter(isRecord) : [];
  } catch {
    return [];
  }
}

const isRecord = (each) =>
  typeof each?.id === "string" && Array.isArray(each.texts) && Array.isArray(each.request?.titles) && Boolean(each.request.image);

/** Keep a record, in place of the one with the same id; false if this browser keeps nothing. */
export function keep(record) {
  let list = [record, ...kept().filter(({ id }) => id !== record.id)].slice(0, MOST);
  while (list.length > 1 && JSON.stringify(list).length > MOST_CHARS) list.pop();
  for (; list.length; list = list.slice(0, Math.floor(list.length / 2))) {
    if (write(list)) return true;
  }
  return false;
}

function write(list) {
  try {
    localStorage.setItem(NAME, JSON.stringify(list));
    return true;
  } catch {
    return false; // full, or forbidden as in some private windows
  }
}

export function forget() {
  try {
    localStorage.removeItem(NAME);
  } catch {
    // nothing was kept
  }
}
