"""AV1, the coding inside of AVIF: the size of the frames, as the decoder takes it, from the sequence headers.

Knows no containers. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator

from service.decoding.formats.picture_file import check_count

MAX_UNITS = 16_384  # open bitstream units (OBU) of a file; an image has two, and some for tiles and metadata
MAX_HEADER_BYTES = 512  # 32 operating points take 300
_SEQUENCE_HEADER = 1


def frame_sizes(pieces: Iterator[memoryview]) -> Iterator[tuple[int, int]]:
    """Yield width and height from every sequence header in the data of images.

    Raises:
        InvalidField: too many units.
    """
    units = 0
    for data in pieces:
        place = 0
        while place < len(data):
            units += 1
            check_count(units, MAX_UNITS, "units of coded data (AVIF)")
            head = data[place]
            place += 2 if head & 4 else 1  # with an extension
            size = len(data) - place
            if head & 2:
                size, place = _leb128(data, place)
            if head >> 3 & 15 == _SEQUENCE_HEADER:
                yield _size(bytes(data[place : place + min(size, MAX_HEADER_BYTES)]))
            place += size


def _leb128(data: memoryview, place: int) -> tuple[int, int]:
    """Return a number of seven bits a byte, and the place behind it."""
    value = 0
    for index, byte in enumerate(data[place : place + 8]):
        value |= (byte & 127) << (7 * index)
        if byte < 128:
            return value, place + index + 1
    return len(data), len(data)


class _Bits:
    """Bits of a header, from the first one on; behind its end are zeros."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def take(self, count: int) -> int:
        self._left -= count
        value = self._value >> self._left if self._left >= 0 else self._value << -self._left
        return value & ((1 << count) - 1)

    def take_unary_prefixed(self) -> int:
        """Take a number whose length is told by zeros before it (uvlc); no number matters here."""
        zeros = 0
        while zeros < 32 and not self.take(1):
            zeros += 1
        return self.take(zeros) if zeros < 32 else 0


def _size(header: bytes) -> tuple[int, int]:
    """Read a sequence header as far as the largest width and height of a frame."""
    bits = _Bits(header)
    bits.take(4)  # profile, and whether it is a still picture
    if bits.take(1):  # the short header of still pictures
        bits.take(5)
    else:
        _pass_over_operation(bits)
    width_bits, height_bits = 1 + bits.take(4), 1 + bits.take(4)
    return 1 + bits.take(width_bits), 1 + bits.take(height_bits)


def _pass_over_operation(bits: _Bits) -> None:
    """Pass over times, the model of a decoder, and operating points."""
    delay_bits = 0
    if bits.take(1):  # timing
        bits.take(64)
        if bits.take(1):
            bits.take_unary_prefixed()
        if bits.take(1):  # the model of a decoder
            delay_bits = 1 + bits.take(5)
            bits.take(42)
    has_display_delay = bits.take(1)
    for _ in range(1 + bits.take(5)):
        bits.take(12)
        if bits.take(5) > 7:
            bits.take(1)
        if delay_bits and bits.take(1):
            bits.take(2 * delay_bits + 1)
        if has_display_delay and bits.take(1):
            bits.take(4)
