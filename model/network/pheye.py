"""Pheye's fast path: vision encoder and decoder over slots.

Four operations, in the order a request meets them: `encode_tiles`, `admit_image`, `prefill`, `decode`. Each is batched.
A fifth, `prefill_choices`, is a prefill for requests that are answered by one of given choices.
Knows no text. Called by the engine's thread only; its naive twin is `model/reference/naive.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.choices import ChoiceTree
from model.config import PheyeConfig
from model.network.compiled.compilation import background
from model.network.compiled_decoder import CompiledDecoder, compiles_floats
from model.network.cross_attention import AttentionRecorder
from model.network.decoder import Decoder, StepBatch, TokenBatch
from model.network.layers import Prepare, Weights, made_anew
from model.network.slots import Slots
from model.network.trees import edge_logprobs, tree_batch
from model.network.vision import VisionEncoder, compiles_tower
from model.pixels.tiles import ImageKey, Tiles


class Pheye:
    """Loaded model of the fast path.

    Args:
        tensors: every tensor of a checkpoint by canonical name (see `model/checkpoint/checkpoint.py`).
        config: its geometry.
        device: where it computes.
        dtype: what it computes in.
        bits: of the weights of linear layers: 8; 4 in the decoder and 8 elsewhere; 0 for those of the dtype.
        image_dtype: what slots keep of images in; None for `dtype`.
        absorbed: whether slots keep images' features, and not the keys and values projected from them.
        prepare: what may know large tensors in the form in which layers hold them; see `Weights`.
    """

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        config: PheyeConfig,
        device: torch.device,
        dtype: torch.dtype,
        *,
        bits: int = 0,
        image_dtype: torch.dtype | None = None,
        absorbed: bool = False,
        prepare: Prepare = made_anew,
    ) -> None:
        self.config = config
        self.device = device
        self.dtype = dtype
        steps_are_compiled = not bits and not absorbed and compiles_floats(config, device, dtype)
        is_used = steps_are_compiled or compiles_tower(config.vision, device, dtype)
        self._code = background.CODE if is_used else None
        weights = Weights(tensors, device, dtype, bits=8 if bits else 0, prepare=prepare)
        self._vision = VisionEncoder(weights.at("vision_encoder"), config, self._code)
        stepped = bool(bits) or steps_are_compiled
        weights = Weights(tensors, device, dtype, bits=bits, stepped=stepped, prepare=prepare)
        code = self._code if steps_are_compiled else None
        self._decoder = Decoder(weights.at("lang_encoder"), config, code, absorbed=absorbed)
        self._compiled = CompiledDecoder.of(self._decoder, config, code, absorbed=absorbed)
        self._image_dtype = image_dtype or dtype
        self._absorbed = absorbed

    def prepare_compiled(self, *, wait: bool = False) -> None:
        """Get compiled code ready in the background, where this model gains by it; see `CompiledCode`."""
        if self._code is not None:
            if wait:
                self._code.start(niceness=0)
                self._code.wait()
            else:
                self._code.start()

    @property
    def vision(self) -> VisionEncoder:
        """Vision encoder, for callers that have tiles on the device already."""
        return self._vision

    def new_slots(self, count: int, context_tokens: int, prefix: Sequence[int] = ()) -> Slots:
        """Allocate slots for `count` running rows of up to `context_tokens` tokens that all begin with `prefix`."""
        dtypes = (self.dtype, self._image_dtype)
        return Slots(self.config, count, context_tokens, self.device, dtypes, prefix, absorbed=self._absorbed)

    def encode_tiles(self, tiles: Tiles, indices: Sequence[int]) -> Tensor:
        """Encode tiles of any images to features, in one pass per adapter.

        Args:
            tiles: uint8 [n, S, S, 3].
            indices: index of each tile in its image; 0 is the global view [n].

        Returns:
            Features [n, tokens per tile, D_vit] without the positions of the tiles: equal tiles have equal ones.
        """
        places = np.asarray(indices)
        if places.all() or not places.any():
            return self._encode_alike(tiles, places)
        # Split on the host: to ask the device which tiles are which would wait for all it is doing.
        features: Tensor | None = None
        for alike in (places > 0, places == 0):
            part = self._encode_alike(tiles[alike], places[alike])
            if features is None:
                features = part.new_empty(len(places), *part.shape[1:])
            features[torch.from_numpy(alike.nonzero()[0]).to(self.device)] = part
        assert features is not None
        return features

    def _encode_alike(self, tiles: Tiles, places: NDArray[np.int64]) -> Tensor:
        """Encode global views alone or local tiles alone."""
        pixels = torch.from_numpy(np.ascontiguousarray(tiles)).to(self.device)
        return self._vision.encode_local(pixels) if places.any() else self._vision.encode_global(pixels)

    def admit_image(self, slots: Slots, image_key: ImageKey, tiles: Sequence[Tensor]) -> None:
        """Give an image a slot and fill it with the memory for cross-attention.

        Args:
            slots: where.
            image_key: the image.
            tiles: features of its tiles as `encode_tiles` gives them, N times [tokens per tile, D_vit].
        """
        self._decoder.admit(self.placed(tiles), slots, slots.claim_image(image_key))

    def placed(self, tiles: Sequence[Tensor]) -> Tensor:
        """Return an image's features [V, D_vit]: those of its tiles, each with the tile's position added."""
        return self._vision.placed(tiles, self.dtype)

    def prefill(
        self,
        slots: Slots,
        rows: Sequence[int],
        prompts: Sequence[Sequence[int]],
        starts: Sequence[int] = (),
        recorder: AttentionRecorder | None = None,
    ) -> Tensor:
        """Prefill the prompts of newly occupied rows together, whatever their lengths.

        Args:
            slots: where the rows are.
            rows: their slots.
            prompts: tokens of each.
            starts: how many tokens of each are in its slot already, fewer than all; none if not given. The longest rest
                must fit behind the latest of them, to which the others are padded.
            recorder: whose attention to remember; its columns count from a row's start.

        Returns:
            Logits after each prompt's last token [B, vocab].
        """
        starts = list(starts) or [0] * len(rows)
        rests = [prompt[start:] for prompt, start in zip(prompts, starts, strict=True)]
        if recorder is None and self._compiled is not None and self._compiled.reads_prompts:
            return self._compiled.prefill(slots, rows, rests, starts)
        longest = max(map(len, rests))
        padded = [[*rest, *([0] * (longest - len(rest)))] for rest in rests]
        return self._append(slots, rows, padded, starts, [len(rest) - 1 for rest in rests], recorder)

    def prefill_choices(
        self,
        slots: Slots,
        rows: Sequence[int],
        prompts: Sequence[Sequence[int]],
        starts: Sequence[int],
        trees: Sequence[ChoiceTree],
        recorder: AttentionRecorder | None = None,
    ) -> list[Tensor]:
        """Prefill prompts as `prefill` does, each with the tree of its choices behind it, and score the choices.

        A tree takes as many places of its row's slot as it has nodes.

        Args:
            slots: where the rows are.
            rows: their slots.
            prompts: tokens of each.
            starts: how many tokens of each are in its slot already, fewer than all.
            trees: the choices of each.
            recorder: whose attention to remember; its columns count from a row's start.

        Returns:
            Log-probability of each edge of each tree, float32 [edges].
        """
        batch = tree_batch(slots, rows, prompts, starts, trees, recorder)
        return edge_logprobs(self._decoder, self._decoder.states(batch, slots), trees)

    def decode(
        self, slots: Slots, rows: Sequence[int], tokens: Sequence[int], recorder: AttentionRecorder | None = None
    ) -> Tensor:
        """Append one token to each row, and return logits [B, vocab]."""
        lengths = [slots.lengths[row] for row in rows]
        if recorder is None and self._compiled is not None and self._compiled.ready:
            logits = self._compiled.decode(slots, rows, tokens)
        else:
            logits = self._append(slots, rows, [[token] for token in tokens], lengths, [0] * len(rows), recorder)
        for row in rows:
            slots.lengths[row] += 1
        return logits

    def step(self, ids: Tensor, batch: StepBatch, slots: Slots) -> Tensor:
        """Decode as `decode` does, for tokens and rows that are known to the device alone; see `Decoder.step`."""
        return self._decoder.step(ids, batch, slots)

    def _append(
        self,
        slots: Slots,
        rows: Sequence[int],
        tokens: Sequence[Sequence[int]],
        starts: Sequence[int],
        last: Sequence[int],
        recorder: AttentionRecorder | None,
    ) -> Tensor:
        """Append equally many new tokens to each row from `starts` on; `last` is the place of each last real token."""
        width = len(tokens[0])
        first = torch.tensor(starts, device=self.device).unsqueeze(1)  # [B, 1]
        places = first + torch.arange(width, device=self.device)
        batch = TokenBatch(
            rows=list(rows),
            row_index=torch.tensor(rows, device=self.device).unsqueeze(1),
            ids=torch.tensor(tokens, device=self.device),
            positions=places,
            places=places,
            reach=max(starts) + width,
            ends=(torch.arange(len(rows), device=self.device), torch.tensor(last, device=self.device)),
            groups=slots.groups(rows),
            recorder=recorder,
        )
        logits: Tensor = self._decoder(batch, slots)
        return logits
