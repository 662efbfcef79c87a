// A file, looked at before it is sent: what it is, whether the server takes it as it is, else a copy that it takes.
// The copy is made in this page, and the notes say so; a file that nobody can read is refused here, with the way out.

import { service, serviceAsked } from "../server/service.js";
import { repainted, thumbnail } from "./canvas.js";
import { formatOf } from "./sniff.js";

const MIB = 1 << 20;
const BESIDE_BYTES = 65536; // kept for the form's other fields
const NO_IMAGES = {
  PDF: "A PDF is no image; send one of its pages as PNG or JPEG.",
  video: "A film is no image; send one of its frames as PNG or JPEG.",
};
const REMEDIES = {
  AVIF: "Save it as JPEG or PNG.",
  HEIC: "Save it as JPEG or PNG; an iPhone takes JPEGs with Settings, Camera, Formats, Most Compatible.",
};

const mega = (pixels) => `${(pixels / 1e6).toFixed(pixels < 1e7 ? 1 : 0)} megapixels`;
const size = (bytes) => (bytes < MIB ? `${Math.ceil(bytes / 1024)} KiB` : `${(bytes / MIB).toFixed(1)} MiB`);
const bytesLeft = () => service.bodyBytes - Math.min(BESIDE_BYTES, service.bodyBytes / 4);

/**
 * An image to ask about: {original, file, type, name, url, sample, width, height, thumb, notes, refused}.
 * `sample` is where the server has it; `width` is 0 if this browser cannot show it; `refused` says why it is not sent.
 * Null if the file cannot be read.
 */
export async function prepare(original, sample = null) {
  await serviceAsked();
  const format = await formatOf(original);
  if (format === null) return null;
  const name = original.name || "image";
  const url = URL.createObjectURL(original);
  const image = { original, file: original, type: original.type, name, url, sample, width: 0, height: 0, thumb: "", notes: [], refused: "" };
  const shown = NO_IMAGES[format] ? null : await decoded(url);
  if (shown) Object.assign(image, { width: shown.naturalWidth, height: shown.naturalHeight, thumb: thumbnail(shown) });
  const problem = trouble(image, format);
  if (!problem) return image;
  const copy = shown && (await repainted(shown, service.pixels, bytesLeft()));
  return copy ? withCopy(image, copy, problem) : { ...image, refused: refusal(problem, format) };
}

async function decoded(url) {
  const image = new Image();
  image.src = url;
  try {
    await image.decode();
    return image.naturalWidth ? image : null;
  } catch {
    return null;
  }
}

/** Why the server would refuse the file, or nothing. An unknown kind of file is left to the server's own words. */
function trouble({ file, width, height }, format) {
  if (format && service.formats && !service.formats.includes(format)) return `this server does not read ${format}`;
  if (file.size > bytesLeft()) return `${size(file.size)}, and this server takes ${size(bytesLeft())}`;
  if (width * height > service.pixels) return `${mega(width * height)}, and this server takes ${mega(service.pixels)}`;
  return "";
}

function withCopy(image, { blob, width, height }, problem) {
  const name = `${image.name.replace(/\.\w{2,5}$/, "")}.jpg`;
  URL.revokeObjectURL(image.url);
  const what = width < image.width ? `shrunk here to ${width} × ${height} px` : "sent as JPEG";
  const file = new File([blob], name, { type: "image/jpeg" });
  return { ...image, file, type: file.type, url: URL.createObjectURL(file), width, height, notes: [`${what}: ${problem}`] };
}

function refusal(problem, format) {
  if (NO_IMAGES[format]) return NO_IMAGES[format];
  const remedy = REMEDIES[format] ?? "Save it as a smaller JPEG or PNG.";
  return `Not sent: ${problem}, and this browser cannot convert it. ${remedy}`;
}
