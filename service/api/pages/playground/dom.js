// Elements of the page, found and made; numbers and times in words.
// Text only ever becomes text: nothing on this page parses HTML.

const SVG = "http://www.w3.org/2000/svg";

export const find = (id) => document.getElementById(id);

/** An element with properties (`on...` are listeners, the rest attributes; null and false are left out) and children. */
export const el = (name, props = {}, ...children) => fill(document.createElement(name), props, children);

/** The same in SVG. */
export const svg = (name, props = {}, ...children) => fill(document.createElementNS(SVG, name), props, children);

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Whether the page has one column, where what is secondary is folded at first. */
export const narrow = () => matchMedia("(max-width: 860px)").matches;

/** Whether an input method takes the key, as for Japanese; 229 where a browser calls the composing over too early. */
export const composing = ({ isComposing, keyCode }) => isComposing || keyCode === 229;

/** Whether a key is pressed for the page alone: not for an input method, nor as a shortcut of browser or system. */
export const isPlain = (event) => !composing(event) && !event.altKey && !event.ctrlKey && !event.metaKey;

/** Say something to those who listen instead of look. */
export function announce(words) {
  find("announcer").textContent = words;
}

export const percent = (share) => `${Math.round(100 * share)} %`;

/** A probability; near its ends finer than a whole per cent, and never 0 or 100 unless it is. */
export function likely(probability) {
  const value = 100 * probability;
  if (value > 0 && value < 0.1) return "< 0.1 %";
  if (value < 100 && value > 99.9) return "> 99.9 %";
  return `${(value < 10 || value > 99) && value % 100 ? value.toFixed(1) : Math.round(value)} %`;
}

/** Seconds in words a person compares at a glance. */
export function duration(seconds) {
  if (seconds >= 10) return `${seconds.toFixed(1)} s`;
  if (seconds >= 1) return `${seconds.toFixed(2)} s`;
  return seconds >= 0.01 || seconds === 0 ? `${Math.round(1000 * seconds)} ms` : `${(1000 * seconds).toFixed(1)} ms`;
}

/** A moment in words: the time, and the day if it is another one. */
export function when(milliseconds) {
  const then = new Date(milliseconds);
  const time = then.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  if (then.toDateString() === new Date().toDateString()) return `today, ${time}`;
  return `${then.toLocaleDateString([], { day: "numeric", month: "short", year: "numeric" })}, ${time}`;
}
