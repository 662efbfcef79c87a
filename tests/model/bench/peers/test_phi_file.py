"""The file of a Phi model: as many bytes as it should have, and as many layers as hold the decoder's weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.bench.peers.phi_file import Q4_0, Q8_0, PhiModel, UnsuitableGeometry, layers_for, write_phi
from model.bench.roofline.floors import decoder_weights
from model.config import GEOMETRIES, DecoderGeometry, named_geometry

SMALL = DecoderGeometry(64, 2, 2, 256, 96, 128, 16, 10000.0, activation="gelu_new", eps=1e-5)
# By hand: qkv 3 x 64, output 64, up 256 rows of 64 and down 64 rows of 256 weights; biases and norms in float32.
LAYER_WEIGHTS = (3 * 64 + 64 + 256) * 64 + 64 * 256
LAYER_FLOATS = 2 * 64 + 3 * 64 + 64 + 256 + 64
HEAD_WEIGHTS, HEAD_FLOATS = 96 * 64, 2 * 64 + 96


@pytest.mark.parametrize(("form", "block_bytes"), [(Q8_0, 34), (Q4_0, 18)], ids=[Q8_0, Q4_0])
def test_a_step_reads_every_weight_but_the_embedding(form: str, block_bytes: int) -> None:
    weights, floats = 3 * LAYER_WEIGHTS + HEAD_WEIGHTS, 3 * LAYER_FLOATS + HEAD_FLOATS
    assert PhiModel(SMALL, 3, form).step_bytes == weights // 32 * block_bytes + 4 * floats


@pytest.mark.parametrize("name", sorted(GEOMETRIES))
def test_the_layers_hold_the_weights_of_our_decoder_to_half_a_layer(name: str) -> None:
    config = named_geometry(name)
    layers = layers_for(config)
    per_layer = PhiModel(config.decoder, 2, "F32").step_bytes - PhiModel(config.decoder, 1, "F32").step_bytes
    read = PhiModel(config.decoder, layers, "F32").step_bytes
    assert abs(read - 4 * decoder_weights(config, project=False)) <= per_layer / 2


def test_rows_that_do_not_divide_into_blocks_are_refused() -> None:
    with pytest.raises(UnsuitableGeometry, match="blocks of 32 weights, which 80 does not"):
        PhiModel(DecoderGeometry(80, 1, 1, 320, 8, 8, 8, 1.0, activation="gelu_new", eps=1e-5), 1, Q8_0)


@pytest.mark.parametrize("form", [Q8_0, Q4_0])
def test_the_written_file_holds_what_is_listed(form: str, tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf", reason="needs the extra `peers`")
    model, file = PhiModel(SMALL, 2, form), tmp_path / "phi.gguf"
    write_phi(model, 128, file)
    written = {each.name: (int(each.n_bytes), each.tensor_type.name) for each in gguf.GGUFReader(file).tensors}
    assert written == {each.name: (each.nbytes, each.form) for each in model.tensors()}
