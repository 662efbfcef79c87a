// A small line of the latest values, newest at the right.

import { svg } from "../dom.js";

const WIDTH = 100;
const HEIGHT = 24;
const EDGE = 1.5;

export class Sparkline {
  constructor(points) {
    this.points = points;
    this.values = [];
    this.area = svg("path", { class: "area" });
    this.line = svg("path", { class: "line" });
    const box = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none" };
    this.element = svg("svg", box, this.area, this.line);
  }

  /** Add a value; the top of the line is `most`, or the largest value shown. */
  push(value, most = 0) {
    this.values = [...this.values, value].slice(-this.points);
    const top = Math.max(most || Math.max(...this.values), 1e-9);
    const step = WIDTH / (this.points - 1);
    const start = WIDTH - step * (this.values.length - 1);
    const y = (each) => HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * Math.min(each / top, 1);
    const path = this.values.map((each, index) => `${(start + index * step).toFixed(1)} ${y(each).toFixed(1)}`).join("L");
    this.line.setAttribute("d", `M${path}`);
    this.area.setAttribute("d", `M${start.toFixed(1)} ${HEIGHT}L${path}L${WIDTH} ${HEIGHT}Z`);
  }
}
