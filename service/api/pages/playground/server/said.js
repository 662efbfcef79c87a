// What a server said, made what the page expects: whatever stands behind an address may lie, err, or be something else.
// Values in, values out; a value that is not what it should be becomes the fallback.

const MOST_CHARS = 2000; // of a sentence
const MOST_LIST = 64;

export const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** An object with the same fields, or one without any. */
export const object = (value) => (isObject(value) ? value : {});

/** A text, not endless. */
export function text(value, fallback = "", most = MOST_CHARS) {
  if (typeof value !== "string") return fallback;
  return value.length > most ? `${value.slice(0, most)} …` : value;
}

/** A finite number, 0 or more. */
export const number = (value, fallback = 0) => (Number.isFinite(value) && value >= 0 ? value : fallback);

/** A number from 0 to 1. */
export const share = (value) => Math.min(number(value), 1);

export const list = (value, most = MOST_LIST) => (Array.isArray(value) ? value.slice(0, most) : []);

export const texts = (value, most = MOST_LIST) => list(value, most).filter((each) => typeof each === "string").map((each) => text(each));
