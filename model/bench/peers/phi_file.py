"""GGUF file of a Phi model with random weights, of a decoder's sizes and as many layers as hold its weights.

llama.cpp knows Phi and not Pheye's cross-attention, so layers stand in for its blocks: what a decode step reads of
weights is then the same to half a layer. Vocabulary and context are the least that the file must have. Owns names,
shapes and byte counts of its tensors, which need no package; writing needs `gguf`. One thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from model.bench.roofline.floors import decoder_weights
from model.config import DecoderGeometry, PheyeConfig

if TYPE_CHECKING:
    from gguf import GGUFWriter
    from numpy.typing import NDArray

FLOAT, Q8_0, Q4_0 = "F32", "Q8_0", "Q4_0"
BLOCKS: Mapping[str, tuple[int, int]] = {FLOAT: (1, 4), Q8_0: (32, 34), Q4_0: (32, 18)}  # weights, bytes of a block
_SCALE_BYTES = 2  # a float16 at the beginning of a block
_LARGEST = {Q8_0: 127, Q4_0: 8}  # of a quantised weight, without its scale


class UnsuitableGeometry(ValueError):
    """A decoder that cannot be written in this number format; the message says why."""


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """Name and shape of a tensor in the file, rows first, and its number format."""

    name: str
    shape: tuple[int, ...]
    form: str

    @property
    def nbytes(self) -> int:
        """Bytes that it takes, without padding.

        >>> StoredTensor("output.weight", (640, 64), "Q8_0").nbytes
        43520
        """
        weights, size = BLOCKS[self.form]
        return int(np.prod(self.shape)) // weights * size


@dataclass(frozen=True, slots=True)
class PhiModel:
    """Phi model to be written: a decoder's sizes, a number of layers, and the number format of its matrices.

    Raises:
        UnsuitableGeometry: its rows do not divide into blocks of that format.
    """

    geometry: DecoderGeometry
    layers: int
    form: str

    def __post_init__(self) -> None:
        """Refuse what could not be read."""
        block = BLOCKS[self.form][0]
        for width in (self.geometry.width, self.geometry.mlp_width):
            if width % block:
                raise UnsuitableGeometry(
                    f"{self.form} has blocks of {block} weights, which {width} does not divide into"
                )

    def tensors(self) -> Iterator[StoredTensor]:
        """List every tensor of the file, under the names that llama.cpp has for Phi-2's."""
        g, form = self.geometry, self.form
        yield StoredTensor("token_embd.weight", (g.vocab_size, g.width), form)
        for layer in range(self.layers):
            prefix = f"blk.{layer}."
            yield from _norm(f"{prefix}attn_norm", g.width)
            yield from _linear(f"{prefix}attn_qkv", g.width, 3 * g.width, form)
            yield from _linear(f"{prefix}attn_output", g.width, g.width, form)
            yield from _linear(f"{prefix}ffn_up", g.width, g.mlp_width, form)
            yield from _linear(f"{prefix}ffn_down", g.mlp_width, g.width, form)
        yield from _norm("output_norm", g.width)
        yield from _linear("output", g.width, g.vocab_size, form)

    @property
    def step_bytes(self) -> int:
        """Bytes of weights that a decode step reads: all but the embedding, of which it looks up a row."""
        return sum(tensor.nbytes for tensor in self.tensors() if tensor.name != "token_embd.weight")


def layers_for(config: PheyeConfig) -> int:
    """Return the number of Phi's layers that hold as many weights as a decode step of the whole decoder reads.

    >>> from model.config import named_geometry
    >>> layers_for(named_geometry("Pheye-x4-448"))
    29
    """
    phi = PhiModel(config.decoder, 1, FLOAT)
    one = sum(int(np.prod(tensor.shape)) for tensor in phi.tensors() if tensor.name.startswith("blk."))
    head = (config.decoder.width + 1) * config.decoder.vocab_size + 2 * config.decoder.width
    return max(1, round((decoder_weights(config, project=False) - head) / one))


def _norm(name: str, width: int) -> Iterator[StoredTensor]:
    yield StoredTensor(f"{name}.weight", (width,), FLOAT)
    yield StoredTensor(f"{name}.bias", (width,), FLOAT)


def _linear(name: str, inputs: int, outputs: int, form: str) -> Iterator[StoredTensor]:
    yield StoredTensor(f"{name}.weight", (outputs, inputs), form)
    yield StoredTensor(f"{name}.bias", (outputs,), FLOAT)


def write_phi(model: PhiModel, context_tokens: int, file: Path) -> None:
    """Write the model with weights that are drawn once for each shape, since time does not depend on their values.

    Args:
        model: its sizes.
        context_tokens: most tokens of a row.
        file: a .gguf.

    Raises:
        OSError: the file cannot be written.
    """
    from gguf import GGMLQuantizationType, GGUFWriter

    writer = GGUFWriter(file, "phi2")
    try:
        _describe(writer, model, context_tokens)
        drawn: dict[tuple[int, ...], NDArray[np.uint8]] = {}
        for tensor in model.tensors():
            if tensor.form == FLOAT:
                values = np.full(tensor.shape, float(tensor.name.endswith("norm.weight")), np.float32)
                writer.add_tensor(tensor.name, values)
                continue
            if tensor.shape not in drawn:
                drawn[tensor.shape] = _blocks(tensor)
            writer.add_tensor(tensor.name, drawn[tensor.shape], raw_dtype=GGMLQuantizationType[tensor.form])
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def _describe(writer: GGUFWriter, model: PhiModel, context_tokens: int) -> None:
    """Add the sizes, and a vocabulary of words that nobody will read: prompts are given as token ids."""
    g = model.geometry
    writer.add_context_length(context_tokens)
    writer.add_embedding_length(g.width)
    writer.add_block_count(model.layers)
    writer.add_feed_forward_length(g.mlp_width)
    writer.add_head_count(g.heads)
    writer.add_head_count_kv(g.heads)
    writer.add_layer_norm_eps(g.eps)
    writer.add_rope_dimension_count(g.rotary_width)
    writer.add_rope_freq_base(g.rope_theta)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([f"t{token}" for token in range(g.vocab_size)])
    writer.add_token_types([1] * g.vocab_size)
    writer.add_token_merges(["t 0"])
    writer.add_bos_token_id(g.vocab_size - 1)
    writer.add_eos_token_id(g.vocab_size - 1)
    writer.add_add_bos_token(False)


def _blocks(tensor: StoredTensor) -> NDArray[np.uint8]:
    """Draw a matrix of quantised blocks, uint8 [rows, bytes of a row], with weights of about a linear layer's size."""
    rows, inputs = tensor.shape
    weights, size = BLOCKS[tensor.form]
    blocks = np.random.default_rng(0).integers(256, size=(rows, inputs // weights, size), dtype=np.uint8)
    scale = np.float16(1.7 * inputs**-0.5 / _LARGEST[tensor.form])  # uniform numbers reach 1.7 times their spread
    blocks[:, :, :_SCALE_BYTES] = np.frombuffer(scale.tobytes(), np.uint8)
    return blocks.reshape(rows, -1)
