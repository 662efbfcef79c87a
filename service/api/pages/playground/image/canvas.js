// Pictures painted anew, smaller: as a file that the server takes, and as a thumbnail to remember it by.

const LARGEST_PX = 16e6; // pixels of a canvas that every browser can paint, phones included
const QUALITY = 0.92;
const THUMB_PX = 160;
const SMALLER = 0.75;
const TRIES = 12;

function painted(image, scale) {
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(Math.floor(image.naturalWidth * scale), 1);
  canvas.height = Math.max(Math.floor(image.naturalHeight * scale), 1);
  const context = canvas.getContext("2d");
  context.fillStyle = "white"; // what is transparent lies on white, as on the server
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas;
}

const blobOf = (canvas) => new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", QUALITY));

/** The picture as a JPEG with at most so many pixels and bytes: {blob, width, height}, or null if it cannot be done. */
export async function repainted(image, pixels, bytes) {
  let scale = Math.min(1, Math.sqrt(Math.min(pixels, LARGEST_PX) / (image.naturalWidth * image.naturalHeight)));
  for (let tries = 0; tries < TRIES; tries += 1, scale *= SMALLER) {
    const canvas = painted(image, scale);
    const blob = await blobOf(canvas);
    if (blob && blob.size <= bytes) return { blob, width: canvas.width, height: canvas.height };
  }
  return null;
}

/** A small picture as a data URL; empty if there is nothing to see. */
export function thumbnail(image) {
  try {
    return painted(image, Math.min(1, THUMB_PX / Math.max(image.naturalWidth, image.naturalHeight))).toDataURL("image/jpeg", 0.7);
  } catch {
    return "";
  }
}
