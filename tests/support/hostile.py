"""Small image files that ask too much of who reads them, each of a kind, made when they are needed."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

from PIL import Image


def scan_bomb(side_px: int, scans: int) -> bytes:
    """A progressive JPEG whose last scan, which changes nothing, comes again and again."""
    file = BytesIO()
    Image.new("L", (side_px, side_px), 128).save(file, "JPEG", progressive=True)
    whole = file.getvalue()
    last = whole.rindex(b"\xff\xda")
    return whole[:last] + whole[last:-2] * (scans - whole.count(b"\xff\xda") + 1) + whole[-2:]


def jpeg_segments(count: int) -> bytes:
    """A JPEG behind so many empty application segments."""
    whole = _saved("JPEG")
    return whole[:2] + b"\xff\xe5\x00\x02" * count + whole[2:]


def jpeg_padding(count: int) -> bytes:
    """A JPEG with so many bytes of padding before a segment."""
    whole = _saved("JPEG")
    return whole[:2] + b"\xff" * count + whole[2:]


def gif_comments(count: int) -> bytes:
    """A GIF behind a comment of so many blocks of a byte each."""
    whole = _saved("GIF")
    start = whole.index(b",")  # its image descriptor
    return whole[:start] + b"!\xfe" + b"\x01c" * count + b"\x00" + whole[start:]


def gif_wide_frame(width: int, height: int) -> bytes:
    """A GIF whose screen is small and whose frame is not."""
    whole = bytearray(_saved("GIF"))
    start = whole.index(b",")
    whole[start + 5 : start + 9] = struct.pack("<HH", width, height)
    return bytes(whole)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_chunks(count: int) -> bytes:
    """A PNG with so many empty chunks before its picture."""
    whole = _saved("PNG")
    return whole[:33] + png_chunk(b"teSt", b"") * count + whole[33:]


def png_packed(kind: bytes, head: bytes, unpacked: bytes, copies: int, *, cut_bytes: int = 0) -> bytes:
    """A PNG with so many chunks of this kind before its picture, each with the same data, packed and maybe cut."""
    whole, packed = _saved("PNG"), zlib.compress(unpacked, 9)
    return whole[:33] + png_chunk(kind, head + packed[: len(packed) - cut_bytes]) * copies + whole[33:]


def png_claiming(header: bytes, unpacked_bytes: int, crc: int | None = None) -> bytes:
    """A PNG of this header, with a checksum that may be wrong, and of so many zeros, packed, without an end."""
    packed = _packed_zeros(unpacked_bytes)
    head = png_chunk(b"IHDR", header)
    head = head if crc is None else head[:-4] + struct.pack(">I", crc)
    return b"\x89PNG\r\n\x1a\n" + head + png_chunk(b"IDAT", packed)


def _packed_zeros(count: int) -> bytes:
    """So many zeros in zlib's format, of which one MiB is packed and then repeated."""
    packing, mib = zlib.compressobj(9, wbits=-15), bytes(2**20)
    repeated = packing.compress(mib) + packing.flush(zlib.Z_FULL_FLUSH)  # of which what follows does not depend
    end = packing.compress(bytes(count % 2**20)) + packing.flush()
    checksum = (count % 65_521) << 16 | 1  # Adler-32 of zeros
    return b"\x78\xda" + repeated * (count >> 20) + end + struct.pack(">I", checksum)


def png_bad_exif(tags: int) -> bytes:
    """A PNG with a good picture and so many EXIF tags that are longer than the file."""
    entries = b"".join(struct.pack("<HHII", 1 + tag % 60_000, 2, 2**31, 8) for tag in range(tags))
    exif = b"II*\x00\x08\x00\x00\x00" + struct.pack("<H", tags) + entries + b"\x00" * 4
    whole = _saved("PNG")
    return whole[:33] + png_chunk(b"eXIf", exif) + whole[33:]


def bmp_runs(side_px: int, code_bytes: int) -> bytes:
    """A BMP in run-length codes of one pixel each."""
    head = struct.pack("<IiiHHIIiiII", 40, side_px, side_px, 1, 8, 1, code_bytes, 0, 0, 256, 0)
    palette = b"".join(bytes([tone, tone, tone, 0]) for tone in range(256))
    start = 14 + len(head) + len(palette)
    return (
        b"BM" + struct.pack("<IHHI", start + code_bytes, 0, 0, start) + head + palette + b"\x01\x07" * (code_bytes // 2)
    )


def webp_canvas(width: int, height: int) -> bytes:
    """The head of a WEBP that claims a canvas."""
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    chunk = b"VP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + size
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def avif_sized(width: int, height: int) -> bytes:
    """The head of an AVIF that claims a size for an image in it, whichever one."""
    size = struct.pack(">I4sIII", 20, b"ispe", 0, width, height)
    properties = _box(b"iprp", _box(b"ipco", size))
    return _box(b"ftyp", b"avif\0\0\0\0mif1") + _box(b"meta", bytes(4) + properties)


def avif_boxes(count: int) -> bytes:
    """An AVIF of so many empty boxes."""
    return _box(b"ftyp", b"avif\0\0\0\0mif1") + _box(b"free", b"") * count


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + kind + body


def tiff(tags: dict[int, int] | list[tuple[int, int]], strip: bytes) -> bytes:
    """A TIFF of these tags, each with one number, and of one strip or tile; 0 stands for its place."""
    entries = sorted(tags.items() if isinstance(tags, dict) else tags)
    start = 8 + 2 + 12 * len(entries) + 4
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value or start) for tag, value in entries)
    return b"II*\x00\x08\x00\x00\x00" + struct.pack("<H", len(entries)) + directory + b"\x00" * 4 + strip


def tiff_tile(side_px: int) -> bytes:
    """A deflated TIFF of one pixel, in a tile of many."""
    data = zlib.compress(bytes(side_px * side_px), 1)
    named = {256: 1, 257: 1, 258: 8, 259: 8, 262: 1, 277: 1, 322: side_px, 323: side_px, 324: 0, 325: len(data)}
    return tiff(named, data)


def tiff_strip(width: int, height: int, rows: int) -> bytes:
    """A deflated TIFF that holds next to nothing, in a strip of so many rows."""
    data = zlib.compress(bytes(1000))
    return tiff({256: width, 257: height, 258: 8, 259: 8, 262: 1, 273: 0, 277: 1, 278: rows, 279: len(data)}, data)


def tiff_twice(width: int) -> bytes:
    """A deflated TIFF that says its width twice, which Pillow and libtiff understand differently."""
    data = zlib.compress(bytes(1000))
    one = [(257, 40_000), (258, 8), (259, 8), (262, 1), (273, 0), (277, 1), (278, 40_000), (279, len(data))]
    return tiff([(256, width), (256, 1), *one], data)


def _saved(form: str) -> bytes:
    file = BytesIO()
    Image.effect_mandelbrot((32, 24), (-2, -1.5, 1, 1.5), 60).convert("RGB").save(file, form)
    return file.getvalue()
