// A heat map as pixels: one for each cell, smoothed by the browser when the canvas is stretched over the image.

// From nothing to the most: red, green, blue, opacity (0 to 255).
const CONTRAST = 1.6; // small differences near nothing matter less than those near the most
const RAMP = [
  [40, 20, 90, 70],
  [110, 30, 130, 110],
  [200, 60, 90, 150],
  [245, 140, 50, 180],
  [255, 225, 90, 205],
];

function colour(share) {
  const at = Math.min(Math.max(share, 0), 1) * (RAMP.length - 1);
  const low = Math.min(Math.floor(at), RAMP.length - 2);
  return RAMP[low].map((value, index) => value + (RAMP[low + 1][index] - value) * (at - low));
}

/** Draw rows of numbers; the largest becomes the brightest. */
export function drawHeat(canvas, map) {
  const most = Math.max(...map.flat()) || 1;
  canvas.width = map[0].length;
  canvas.height = map.length;
  const pixels = new ImageData(canvas.width, canvas.height);
  map.flat().forEach((value, index) => pixels.data.set(colour((value / most) ** CONTRAST), 4 * index));
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}
