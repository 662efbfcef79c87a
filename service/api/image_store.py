"""Storage in memory of uploaded images that requests name by id: their owners, their age, and the bound in bytes.

Owns the ids and the rule that an owner - a key, or a group of keys - sees its own images only. Keeps tiles, not
features: those are the workers'. Knows no HTTP and no folder, and reads no clock but the one it is given. Event loop's
thread only.
"""

from __future__ import annotations

import hashlib
import time
from bisect import bisect_left, insort
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice

from model.pixels.tiles import ImageKey, TiledImage, TileKey
from service.api.request_context import EVERYBODY
from service.errors import NotFound
from service.images import DIGEST_HEADER

PREFIX = "img_"
DROPPED_AT_ONCE = 256  # expired images; more would hold the event loop up
OFF = "uploaded images are off: PHEYE_IMAGE_STORE_BYTES leaves no room for an image; send the image with each request"
NOT_THERE = (
    "image: no image of yours has this id; it was never uploaded, was deleted, has expired or was dropped for newer "
    "ones: upload it again with POST /v1/images"
)
UNKNOWN = (
    f"{NOT_THERE}; where several servers share the work, send that and every request about the "
    f"image with the header {DIGEST_HEADER}, the SHA-256 of its file, by which a proxy finds the server that has it"
)


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image that its owner may name; `expires_s` is on the store's clock."""

    image: TiledImage
    expires_s: float

    @property
    def id(self) -> str:
        """The id by which its owner names the image: it follows from its key, so every upload gets the same one."""
        return PREFIX + self.image.image_key

    @property
    def held_bytes(self) -> int:
        """The bytes that the image takes of the store."""
        return self.image.tiles.nbytes


def owned_by(owner: str, image: TiledImage) -> TiledImage:
    """Give an image the key under which one owner alone finds its features; where nobody owns anything, its own.

    The same holds for its tiles: how fast an answer comes would tell what others sent.
    """
    if owner == EVERYBODY:
        return image
    key, *tile_keys = (_owned_key(owner, key) for key in (image.image_key, *image.tile_keys))
    return replace(image, image_key=ImageKey(key), tile_keys=tuple(map(TileKey, tile_keys)))


def _owned_key(owner: str, key: str) -> str:
    return hashlib.sha256(f"{owner} {key}".encode()).hexdigest()


class ImageStore:
    """Uploaded images by owner and id.

    An owner with more than its fair share of the bytes makes room for its own images. For another's makes room whoever
    holds the most. Of an owner's images the least recently used goes first.

    Args:
        limit_bytes: what all of them may add up to; 0 turns uploads off.
        ttl_s: age, counted from its latest upload, at which an image is gone.
        clock: seconds; only their differences matter.
    """

    def __init__(self, limit_bytes: int, ttl_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit_bytes = limit_bytes
        self._ttl_s = ttl_s
        self._clock = clock
        self._images: dict[tuple[str, str], StoredImage] = {}  # by owner and id
        # No call may look at every image, because all of them may be one client's flood; so there is an index for each.
        # An image read from a shared folder is older than one uploaded before it, so uploads are no order of expiry.
        self._by_expiry: list[tuple[float, str, str]] = []  # sorted by seconds, negated: what expires first is last
        self._by_owner: dict[str, OrderedDict[str, StoredImage]] = {}  # oldest use first
        self._holders: Counter[str] = Counter()  # by id: how many owners have it
        self._held_bytes: Counter[str] = Counter()  # by owner
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._images)

    def check_room(self, image_bytes: int) -> None:
        """Refuse an image that is larger than the whole store, before it is decoded.

        Raises:
            NotFound: uploads are off, or the store is too small for even one image of this size.
        """
        if image_bytes > self._limit_bytes:
            raise NotFound(OFF)

    def put(self, owner: str, image: TiledImage, left_s: float | None = None) -> StoredImage:
        """Keep an image, or begin its age anew; expired ones go, and then others until the bound holds.

        Args:
            owner: whose.
            image: what to keep.
            left_s: seconds until it expires; None for an image that is new.

        Raises:
            NotFound: the bound leaves no room for it.
        """
        stored = StoredImage(image, self._clock() + (self._ttl_s if left_s is None else left_s))
        self.check_room(stored.held_bytes)
        self._drop((owner, stored.id))
        self.drop_expired()
        while self.size_bytes + stored.held_bytes > self._limit_bytes:
            loser = self._who_makes_room(owner, stored.held_bytes)
            self._drop((loser, next(iter(self._by_owner[loser]))))
        self._keep((owner, stored.id), stored)
        return stored

    def _who_makes_room(self, owner: str, image_bytes: int) -> str:
        """Choose the owner whose image goes for a new one of `owner`."""
        fair_bytes = self._limit_bytes / len(self._held_bytes.keys() | {owner})
        if self._held_bytes[owner] and self._held_bytes[owner] + image_bytes > fair_bytes:
            return owner
        return max(self._held_bytes, key=lambda each: (self._held_bytes[each], each))

    def find(self, owner: str, image_id: str) -> StoredImage:
        """Look up one of the owner's images; this does not count as use.

        Raises:
            NotFound: unknown, expired or another's, which all look the same; or uploads are off.
        """
        if not self._limit_bytes:
            raise NotFound(OFF)
        stored = self._images.get((owner, image_id))
        if stored is None or not self._alive(stored):
            raise NotFound(UNKNOWN)
        return stored

    def use(self, owner: str, image_id: str) -> TiledImage:
        """Look up an image to be asked about, and mark it as the most recently used.

        Raises:
            NotFound: as `find` says.
        """
        stored = self.find(owner, image_id)
        self._by_owner[owner].move_to_end(image_id)
        return stored.image

    def owned(self, owner: str, most: int) -> tuple[StoredImage, ...]:
        """List up to `most` of the owner's images, those used last, most recently used last."""
        latest = islice(reversed(self._by_owner.get(owner, {}).values()), most)
        return tuple(stored for stored in latest if self._alive(stored))[::-1]

    def remove(self, owner: str, image_id: str) -> TiledImage:
        """Drop one of the owner's images.

        Raises:
            NotFound: as `find` says.
        """
        stored = self.find(owner, image_id)
        self._drop((owner, image_id))
        return stored.image

    def discard(self, owner: str, image_id: str) -> bool:
        """Drop one of the owner's images if it is here; return whether it was, and had not expired."""
        stored = self._images.get((owner, image_id))
        self._drop((owner, image_id))
        return stored is not None and self._alive(stored)

    def has(self, owner: str, image_id: str) -> bool:
        """Say whether one of the owner's images is here."""
        stored = self._images.get((owner, image_id))
        return stored is not None and self._alive(stored)

    def names(self) -> tuple[tuple[str, str], ...]:
        """List all images by owner and id."""
        return tuple(self._images)

    def holds(self, image_key: ImageKey) -> bool:
        """Say whether anybody has stored an image with this key; of a flood that has expired, until it is dropped."""
        self.drop_expired()
        return PREFIX + image_key in self._holders

    def expires_in_s(self, stored: StoredImage) -> float:
        """Return the seconds until an image expires."""
        return max(0.0, stored.expires_s - self._clock())

    def drop_expired(self) -> bool:
        """Drop images that are too old, a few at a time; return whether there are more of them."""
        for _ in range(DROPPED_AT_ONCE):
            if not self._any_expired():
                return False
            self._drop(self._by_expiry[-1][1:])
        return self._any_expired()

    def _any_expired(self) -> bool:
        return bool(self._by_expiry) and not self._alive(self._images[self._by_expiry[-1][1:]])

    def _alive(self, stored: StoredImage) -> bool:
        return self._clock() < stored.expires_s

    def _keep(self, key: tuple[str, str], stored: StoredImage) -> None:
        owner, image_id = key
        self._images[key] = stored
        insort(self._by_expiry, (-stored.expires_s, owner, image_id))
        self._by_owner.setdefault(owner, OrderedDict())[image_id] = stored
        self._holders[image_id] += 1
        self._held_bytes[owner] += stored.held_bytes
        self.size_bytes += stored.held_bytes

    def _drop(self, key: tuple[str, str]) -> None:
        stored = self._images.pop(key, None)
        if stored is None:
            return
        owner, image_id = key
        del self._by_expiry[bisect_left(self._by_expiry, (-stored.expires_s, owner, image_id))]
        del self._by_owner[owner][image_id]
        if not self._by_owner[owner]:
            del self._by_owner[owner]
        self._held_bytes[owner] -= stored.held_bytes
        if not self._held_bytes[owner]:
            del self._held_bytes[owner]
        self._holders[image_id] -= 1
        if not self._holders[image_id]:
            del self._holders[image_id]
        self.size_bytes -= stored.held_bytes
