// The format of an image file, by its first bytes, as the server judges it too; name and media type may say anything.

const HEAD_BYTES = 512;
const AVIF = ["avif", "avis"];
const HEIC = ["heic", "heix", "heim", "heis", "hevc", "hevx", "hevm", "hevs", "mif1", "msf1", "mif2"];
const STARTS = [
  ["JPEG", /^\xff\xd8\xff/],
  ["PNG", /^\x89PNG/],
  ["WEBP", /^RIFF[^]{4}WEBP/],
  ["GIF", /^GIF8/],
  ["BMP", /^BM/],
  ["TIFF", /^(II[*+]\0|MM\0[*+])/],
  ["JPEG XL", /^(\xff\x0a|\0\0\0\x0cJXL )/],
  ["PDF", /^%PDF/],
  ["SVG", /^[\s\xef\xbb\xbf]*<(\?xml[^]*<svg|!DOCTYPE svg|svg)/i],
];

/** The format's name as the server writes it, "video" for a film, "" for what is not known here, null if it cannot be read. */
export async function formatOf(file) {
  const read = await file.slice(0, HEAD_BYTES).arrayBuffer().catch(() => null); // a folder, or gone
  if (!read) return null;
  const bytes = new Uint8Array(read);
  const head = String.fromCharCode(...bytes);
  if (head.slice(4, 8) !== "ftyp") return STARTS.find(([, start]) => start.test(head))?.[0] ?? "";
  const length = (bytes[0] << 24) | (bytes[1] << 16) | (bytes[2] << 8) | bytes[3];
  const brands = head.slice(8, Math.min(length, HEAD_BYTES)).match(/.{4}/gs) ?? [];
  if (brands.some((brand) => AVIF.includes(brand))) return "AVIF";
  return brands.some((brand) => HEIC.includes(brand)) ? "HEIC" : "video";
}
