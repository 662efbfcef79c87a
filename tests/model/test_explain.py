"""Explanations: the twin's attention, the image's geometry, and not one changed answer."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from model.config import GEOMETRIES, PheyeConfig
from model.explain import Explanation, explain, image_maps
from model.reference.naive import NaiveAttention, NaivePheye
from model.request import Sampling
from service.messages.rows import Row
from service.schemas.explanation import ExplanationFields, explanation_json
from service.worker.engine import Engine
from tests.service.worker.test_engine import alone, run, submit
from tests.support.golden import Golden, naive_twin

TINY = GEOMETRIES["pheye-micro"]


def explained(golden: Golden, case: int, **more: object) -> tuple[Explanation, list[int], list[str]]:
    engine, asked = Engine(golden.runner(), stall_s=0.25), golden.cases[case]
    row = Row("r", asked["question"], Sampling(max_tokens=24), explain=True, **more)
    submit(engine, golden.image(asked["image"]), row)
    collected = run(engine)
    return collected.ended["r"].explanation, collected.tokens["r"], collected.text["r"]


def twin_attention(naive: NaivePheye, prompt: list[int], tokens: list[int], features: torch.Tensor) -> np.ndarray:
    """Mean over heads of what the naive twin's blocks attend to before each token [tokens, layers, V]."""
    seen: list[torch.Tensor] = []

    def record(block: NaiveAttention, inputs: tuple[torch.Tensor, torch.Tensor], _: torch.Tensor) -> None:
        x, image = inputs
        q = block.to_q(block.norm(x)).unflatten(-1, (block.heads, -1)).transpose(1, 2)
        k = block.to_kv(image).chunk(2, dim=-1)[0].unflatten(-1, (block.heads, -1)).transpose(1, 2)
        seen.append((q @ k.transpose(-1, -2) / 8).softmax(-1).mean(1)[0])

    hooks = [m.register_forward_hook(record) for m in naive.modules() if isinstance(m, NaiveAttention)]
    with torch.inference_mode():
        naive(torch.tensor([prompt + tokens[:-1]]), features)
    for hook in hooks:
        hook.remove()
    return torch.stack(seen, dim=1)[len(prompt) - 1 :].numpy()


@pytest.mark.parametrize("case", [0, 8, 14])
def test_shares_and_maps_are_those_of_the_naive_twin(golden: Golden, case: int) -> None:
    told, tokens, _ = explained(golden, case)
    config, asked = golden.checkpoint.config, golden.cases[case]
    features = golden.tensors[f"vision.{asked['image_index']}"][None]
    attention = twin_attention(naive_twin(golden.checkpoint), asked["input_ids"], tokens, features)
    expected = attention[..., : config.vision.tokens_per_tile].sum(-1).mean(0)
    assert [share.layer for share in told.layers] == list(config.cross_layers)
    np.testing.assert_allclose([share.global_share for share in told.layers], expected, atol=1e-5)
    maps = image_maps(attention.mean(1), config).mean(0)
    np.testing.assert_allclose(told.heat_map.values, maps / maps.sum(), atol=1e-5)


def test_asking_for_an_explanation_changes_no_answer(golden: Golden) -> None:
    runner = golden.runner()
    for case in golden.cases[:6]:
        plain = alone(runner, golden.image(case["image"]), Row("r", case["question"], Sampling(max_tokens=24)))
        engine = Engine(runner, stall_s=0.25)
        rows = (
            Row("told", case["question"], Sampling(max_tokens=24), explain=True),
            Row("untold", case["question"], Sampling(max_tokens=24)),
        )
        submit(engine, golden.image(case["image"]), *rows)
        collected = run(engine)
        assert (collected.tokens["told"], collected.text["told"]) == plain
        assert (collected.tokens["untold"], collected.text["untold"]) == plain
        assert collected.ended["untold"].explanation is None


def test_an_answer_continued_after_a_restart_is_explained_as_if_nothing_had_happened(golden: Golden) -> None:
    whole, tokens, _ = explained(golden, 14)
    again, _, _ = explained(golden, 14, given=tuple(tokens[:7]))
    np.testing.assert_allclose(again.heat_map.values, whole.heat_map.values, atol=1e-6)
    assert [(word.text, word.start, word.end) for word in again.words] == [
        (word.text, word.start, word.end) for word in whole.words
    ]
    np.testing.assert_allclose(again.words[-1].heat_map.values, whole.words[-1].heat_map.values, atol=1e-6)


def test_words_are_the_answers_words_in_their_places(golden: Golden) -> None:
    for case in (0, 3, 9, 14):
        told, _, text = explained(golden, case)
        answer = text.lstrip()
        assert [word.text for word in told.words] == answer.split()
        assert all(answer[word.start : word.end] == word.text for word in told.words)


def attention_on(config: PheyeConfig, tile: int, y: int, x: int) -> np.ndarray:
    """All attention of one token on one patch."""
    side = config.vision.tile_px // config.vision.patch_px
    weights = np.zeros((1, len(config.cross_layers), config.image_tokens), dtype=np.float32)
    weights[:, :, tile * config.vision.tokens_per_tile + 1 + y * side + x] = 1.0
    return weights


CORNERS = {"left top": (1, (0, 0)), "left bottom": (2, (8, 0)), "right top": (3, (0, 8)), "right bottom": (4, (8, 8))}


@pytest.mark.parametrize(("tile", "corner"), CORNERS.values(), ids=CORNERS.keys())
def test_local_tiles_lie_column_by_column_over_the_image(tile: int, corner: tuple[int, int]) -> None:
    told = explain(attention_on(TINY, tile, 2, 5), ["word"], TINY)
    assert told.heat_map.values.shape == (16, 16)
    assert np.argwhere(told.heat_map.values).tolist() == [[corner[0] + 2, corner[1] + 5]]
    assert told.layers[0].local_share == pytest.approx(1.0)


def test_a_patch_of_the_global_view_covers_the_cells_under_it() -> None:
    told = explain(attention_on(TINY, 0, 3, 1), ["word"], TINY)
    assert np.argwhere(told.heat_map.values).tolist() == [[6, 2], [6, 3], [7, 2], [7, 3]]
    assert told.heat_map.values.sum() == pytest.approx(1.0)
    assert told.layers[0].global_share == pytest.approx(1.0)


def test_a_word_of_several_tokens_has_all_their_maps_and_its_neighbour_none_of_them() -> None:
    attention = np.concatenate([attention_on(TINY, 1, row, 0) for row in range(4)])
    told = explain(attention, [" re", "d ", "", "car"], TINY)
    assert [(word.text, word.start, word.end) for word in told.words] == [("red", 0, 3), ("car", 4, 7)]
    rows = [np.argwhere(word.heat_map.values)[:, 0].tolist() for word in told.words]
    assert rows == [[0, 1], [2, 3]]  # the silent token belongs to the word it begins


def test_the_client_gets_rounded_numbers_and_a_picture_of_them() -> None:
    told = explanation_json(explain(attention_on(TINY, 4, 0, 0), ["word"], TINY))
    fields = ExplanationFields.model_validate_json(told)
    assert fields.model_dump_json() == told
    assert fields.grid == 16
    assert [word.text for word in fields.words] == ["word"]
    assert fields.heat_map[8][8] == 1.0
    assert fields.heat_map_png.startswith("data:image/png;base64,")
    with Image.open(io.BytesIO(base64.b64decode(fields.heat_map_png.partition(",")[2]))) as picture:
        assert picture.size == (16, 16)
        assert picture.getpixel((8, 8)) == 255
        assert picture.getextrema() == (0, 255)
