// The server's load, asked of /metrics every two seconds while somebody looks: numbers now, and lines of the last minute.
// Knows the metrics by name; stops while the tab is hidden, waits for a key when one is needed, survives an absent server.

import { get } from "./api.js";
import { el, find, narrow, percent } from "../dom.js";
import { onKeyChange } from "./key.js";
import { number } from "./said.js";
import { Sparkline } from "./sparkline.js";

const EVERY_S = 2;
const POINTS = 30;
const WHOLE = (value) => String(Math.round(value));
const ROWS = [
  { name: "Waiting", value: (now) => now.pheye_requests_waiting, text: WHOLE },
  { name: "Running", value: (now) => now.pheye_requests_running, text: WHOLE },
  {
    name: "Slots used",
    value: (now) => now.pheye_slots_used,
    text: (value, now) => `${WHOLE(value)} / ${WHOLE(now.pheye_slots ?? 0)}`,
    most: (now) => now.pheye_slots,
  },
  {
    name: "Cache hits",
    value: (now) => now.pheye_feature_cache_hits_total / now.pheye_feature_cache_queries_total,
    text: (value, now) => (now.pheye_feature_cache_queries_total ? percent(value) : "–"),
    most: () => 1,
  },
  { name: "Tokens/s", value: (now, before) => rate("pheye_generated_tokens_total", now, before), text: WHOLE },
];

let timer = null;
let before = null;
const lines = new Map();
const panel = find("load-panel");

/** Values by name, those of all workers together, and the moment they were read. */
export function parseMetrics(text) {
  const values = { at_s: performance.now() / 1000 };
  for (const [, name, value] of text.matchAll(/^(pheye_\w+)(?:\{.*\})? (\S+)$/gm)) {
    values[name] = (values[name] ?? 0) + number(Number(value));
  }
  return values;
}

function rate(name, now, earlier) {
  if (!earlier) return 0;
  return Math.max(now[name] - earlier[name], 0) / Math.max(now.at_s - earlier.at_s, 0.001); // a restart counts from 0
}

async function poll() {
  clearTimeout(timer);
  if (document.hidden || !panel.open) return;
  try {
    show(parseMetrics(await (await get("metrics", EVERY_S * 2)).text()));
    note("");
  } catch (problem) {
    before = null;
    note(problem.status === 401 ? "Needs the API key." : problem.status ? "No figures; trying again." : "Unreachable; trying again.");
    if (problem.status === 401) return; // another key starts it again
  }
  clearTimeout(timer);
  timer = setTimeout(poll, 1000 * EVERY_S);
}

function show(now) {
  for (const row of ROWS) {
    const value = number(row.value(now, before));
    const line = lines.get(row.name);
    line.number.textContent = row.text(value, now);
    line.spark.push(value, row.most?.(now));
  }
  before = now;
}

function note(words) {
  if (find("load-note").textContent !== words) find("load-note").textContent = words;
  find("load").classList.toggle("stale", words !== "");
}

function build() {
  for (const { name } of ROWS) {
    const number = el("dd", {}, "–");
    const spark = new Sparkline(POINTS);
    lines.set(name, { number, spark });
    find("load").append(el("div", {}, el("dt", {}, name), number, el("dd", { class: "spark", "aria-hidden": "true" }, spark.element)));
  }
  panel.open = !narrow();
  panel.addEventListener("toggle", poll);
  document.addEventListener("visibilitychange", poll);
  onKeyChange(poll);
  poll();
}

build();
