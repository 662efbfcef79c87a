"""pheye-tiny's training stream: new scenes without end, easy-VQA's training images in between."""

import json
import re
from pathlib import Path

import easy_vqa

from model.data.mixture import scenes, signs, stream
from model.data.samples import ENDLESS
from model.prompt import SHORT_ANSWER
from model.training.recipe import RECIPES


def test_the_stream_has_no_end_and_is_the_same_each_time():
    one, other = scenes(), scenes()
    assert len(one) >= ENDLESS
    for index in (0, 1, 12_345, 99_999_999):
        assert one[index].image.tobytes() == other[index].image.tobytes()
        assert one[index].turns == other[index].turns


def test_every_sixth_sample_is_of_easy_vqas_training_split_alone():
    mixture = scenes()
    folder = Path(easy_vqa.__file__).parent / "data" / "train"
    assert all(path.is_relative_to(folder) for path in mixture.easy_vqa.images)
    assert len(mixture.easy_vqa) == len(list((folder / "images").iterdir()))
    asked = sum(map(len, mixture.easy_vqa.turns))
    assert asked <= len(json.loads((folder / "questions.json").read_text()))
    assert all(turn.instruction.endswith(SHORT_ANSWER) for turn in mixture[6].turns)
    assert mixture[6].image.tobytes() == mixture.easy_vqa[1].image.tobytes()


def test_a_scene_has_captions_and_questions_and_no_instruction_twice():
    for index in range(1, 6):
        turns = scenes()[index].turns
        assert len({turn.instruction for turn in turns}) == len(turns) == 4


def test_the_stream_of_signs_has_crowds_from_the_start_and_shares_no_scene_with_the_other():
    assert stream("signs") == signs()
    assert stream("scenes") == scenes()
    assert stream("mine.jsonl") is None
    assert any(turn.response.count('"') > 2 for turn in signs()[1].turns)
    assert signs()[2].image.tobytes() != scenes()[2].image.tobytes()


def test_in_the_stream_of_signs_the_shapes_of_every_ordinary_scene_are_counted():
    for index in (2, 4, 6, 8, 10):
        turns = signs()[index].turns
        asked = turns[-1].instruction
        assert len(turns) == 4
        assert "ount the shapes" in asked or "ow many shapes" in asked
        assert re.search(r"\b[0-4]\b", turns[-1].response)


def test_crowds_of_signs_join_when_the_first_three_stages_are_over():
    assert all('"' not in turn.instruction and "signs" not in turn.instruction for turn in scenes()[81_599].turns)
    assert any(turn.response.count('"') > 2 for turn in scenes()[81_601].turns)
    first = sum(stage.steps for stage in RECIPES["pheye-tiny"].stages[:3]) * RECIPES["pheye-tiny"].batch
    assert first == 81_600
