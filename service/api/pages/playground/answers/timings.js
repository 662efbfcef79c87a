// Where a request's time went, as one bar and a legend.

import { duration, el, svg } from "../dom.js";

const PHASES = [
  ["queue", "Queue"],
  ["preprocess", "Preprocess"],
  ["encode", "Encode"],
  ["prefill", "Prefill"],
  ["decode", "Decode"],
];
const WIDTH = 1000;
const GAP = 3;

/** `timings` in seconds, by phase. */
export function timingBar(timings) {
  const sum = PHASES.reduce((total, [phase]) => total + timings[phase], 0) || 1;
  let x = 0;
  const bars = PHASES.map(([phase]) => {
    const width = (WIDTH * timings[phase]) / sum;
    const bar = svg("rect", { class: phase, x: x.toFixed(1), width: Math.max(width - GAP, 1).toFixed(1), height: 8 });
    x += width;
    return bar;
  });
  const legend = PHASES.map(([phase, name]) =>
    el("div", { class: phase }, el("dt", {}, name), el("dd", {}, duration(timings[phase]))),
  );
  return el(
    "div",
    { class: "timings" },
    svg("svg", { viewBox: `0 0 ${WIDTH} 8`, preserveAspectRatio: "none", "aria-hidden": "true" }, ...bars),
    el("dl", { "aria-label": "Where the time went" }, ...legend),
  );
}
