"""Questions: every answer is true of its scene, in each of its forms."""

from random import Random

from model.data.world.captions import named
from model.data.world.questions import about_one_of_several, exchange, question_turn
from model.data.world.scene import COLOURS, SHAPES, draw_scene

SCENES = [draw_scene(Random(f"question {index}")) for index in range(400)]
ASKED = [(scene, exchange(scene, Random(f"ask {place}"))) for place, scene in enumerate(SCENES * 4)]
ASKED += [(scene, asked) for scene in SCENES for asked in about_one_of_several(scene, Random("several"))]


def of(kind):
    return [(scene, asked) for scene, asked in ASKED if asked.kind == kind]


def test_every_kind_is_asked():
    assert {asked.kind for _, asked in ASKED} == {"sign", "count", "colour", "shape", "place", "exists", "relation"}


def test_one_shape_is_asked_about_where_there_are_several():
    asked = {len(scene.shapes): about_one_of_several(scene, Random("several")) for scene in SCENES}
    assert not asked[0] + asked[1]
    assert {each.kind for questions in asked.values() for each in questions} <= {"colour", "shape", "place", "relation"}
    assert all(asked[count] for count in (2, 3))


def test_signs_are_read_or_said_to_be_missing():
    for scene, asked in of("sign"):
        assert asked.word == (scene.sign.text if scene.sign else "nothing")
        assert asked.word in asked.sentence or scene.sign is None


def test_counts_are_those_of_the_scene():
    for scene, asked in of("count"):
        words = asked.question.lower().replace("crosses", "cross").replace("?", " ").replace(".", " ").split()
        colours = [word for word in words if word in COLOURS]
        kinds = [kind for kind in SHAPES if kind in words or f"{kind}s" in words]
        counted = [
            shape
            for shape in scene.shapes
            if (not colours or shape.colour in colours) and (not kinds or shape.kind in kinds)
        ]
        assert asked.word == str(len(counted))


def test_what_is_said_to_exist_exists():
    for scene, asked in of("exists"):
        text = asked.question.lower()
        if "sign" in text or "text" in text:
            there = scene.sign is not None
        else:
            colours = [colour for colour in COLOURS if f" {colour} " in text.replace("?", " ")]
            kinds = [kind for kind in SHAPES if kind in text]
            there = any(
                (not colours or shape.colour in colours) and (not kinds or shape.kind in kinds)
                for shape in scene.shapes
            )
        negated = " not " in text or text.startswith("is no ")
        assert asked.word == ("yes" if there != negated else "no"), asked.question
        assert asked.sentence.lower().startswith(asked.word)


def test_colours_and_shapes_are_of_the_only_thing_that_is_meant():
    for scene, asked in of("colour"):
        meant = [shape for shape in scene.shapes if shape.kind in asked.question or len(scene.shapes) == 1]
        assert {shape.colour for shape in meant} == {asked.word}
    for scene, asked in of("shape"):
        meant = [shape for shape in scene.shapes if shape.colour in asked.question or len(scene.shapes) == 1]
        assert {shape.kind for shape in meant} == {asked.word}


def test_relations_follow_the_places_of_the_two():
    for scene, asked in of("relation"):
        one, other = (
            next(shape for shape in scene.shapes if f"the {named(shape)}{end}" in asked.question) for end in (" ", "?")
        )
        axis = 0 if "left" in asked.question or "right" in asked.question else 1
        before = one.box.centre[axis] < other.box.centre[axis]
        wanted = "left" in asked.question or "above" in asked.question
        assert asked.word == ("yes" if before == wanted else "no")


def test_no_wrong_choice_is_right():
    for _, asked in ASKED:
        assert asked.others
        assert asked.word not in asked.others


def test_a_choice_is_answered_by_the_letter_of_the_right_option():
    seen = 0
    for place, scene in enumerate(SCENES):
        turn = question_turn(scene, Random(f"choice {place}"))
        if "letter from the given choices" in turn.instruction:
            options = dict(line.split(". ", 1) for line in turn.instruction.splitlines() if line[1:3] == ". ")
            assert turn.response in options
            seen += 1
    assert seen > 50
