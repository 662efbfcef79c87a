"""Questions about a scene and their answers: as a sentence, as a word, or as the letter of a choice.

A question draws one subject, then one of its wordings, then how the answer is to be given. Every answer is true of the
scene. The wordings of easy-VQA's questions are asked of scenes with one shape. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from model.data.samples import Turn
from model.data.world.captions import article, named, place, sentence
from model.data.world.scene import COLOURS, SHAPES, Scene, Shape
from model.data.world.sign_texts import sign_text
from model.prompt import AnswerStyle, question_instruction

PLACES = (
    "at the top left", "at the top", "at the top right", "on the left", "in the center", "on the right",
    "at the bottom left", "at the bottom", "at the bottom right",
)  # fmt: skip

STYLES: tuple[AnswerStyle, ...] = ("sentence", "short", "short", "choice")  # how a question is answered, by chance
_SIGN_QUESTIONS = (
    "What does the sign say?", "What is written on the sign?", "Read the sign.", "What text is in the image?",
    "What does the text say?", "What word or number is on the sign?", "what does it say?",
)  # fmt: skip
_NO_SIGN = ("nothing", "There is no sign.")  # the answer in a word, and in a sentence


@dataclass(frozen=True, slots=True)
class QuestionAndAnswer:
    """Question with its answer in a word and in a sentence, and wrong answers for choices.

    `kind` names what is asked for: sign, count, colour, shape, place, exists, relation.
    """

    kind: str
    question: str
    word: str
    sentence: str
    others: tuple[str, ...]


def question_turn(scene: Scene, rng: Random) -> Turn:
    """Build a turn with one question in one answer style."""
    return turn_of(exchange(scene, rng), rng)


def turn_of(asked: QuestionAndAnswer, rng: Random, styles: Sequence[AnswerStyle] = STYLES) -> Turn:
    """Build a turn from a question and its answer, in one of these answer styles."""
    style = rng.choice(styles)
    return _choice(asked, rng) if style == "choice" else _worded(asked, style)


def count_turn(scene: Scene, rng: Random) -> Turn:
    """Build a turn that asks for the number of shapes, answered in a word or in a sentence."""
    asked = counted(len(scene.shapes), "", "shape", "shapes", rng)
    return _worded(asked, "short" if rng.random() < 0.7 else "sentence")


def no_sign_turn(rng: Random) -> Turn:
    """Build a turn that asks for the sign of a scene that has none."""
    style: AnswerStyle = "short" if rng.random() < 0.5 else "sentence"
    return _worded(QuestionAndAnswer("sign", rng.choice(_SIGN_QUESTIONS), *_NO_SIGN, ()), style)


def _worded(asked: QuestionAndAnswer, style: AnswerStyle) -> Turn:
    """Build a turn whose answer is a word or a sentence."""
    return Turn(question_instruction(asked.question, style), asked.sentence if style == "sentence" else asked.word)


def exchange(scene: Scene, rng: Random) -> QuestionAndAnswer:
    """Draw a question that this scene can be asked; what is hardest to learn comes most often."""
    ask = rng.choice(
        (_sign, _sign, _sign, _count, _count, _exists, _exists, _easy, _easy, _easy, _place, _relation, _relation)
    )
    return ask(scene, rng) or _exists(scene, rng)


def about_one_of_several(scene: Scene, rng: Random) -> tuple[QuestionAndAnswer, ...]:
    """Draw questions about one shape among others, a question of each kind that this scene can be asked.

    Kinds: colour or shape, place, relation. None of them can be answered from the colours that are there alone.
    """
    if len(scene.shapes) < 2:
        return ()
    drawn = (ask(scene, rng) for ask in (_easy, _place, _relation))
    return tuple(asked for asked in drawn if asked is not None)


def _choice(asked: QuestionAndAnswer, rng: Random) -> Turn:
    wrong = rng.sample(asked.others, min(len(asked.others), rng.randint(1, 3)))
    choices = [asked.word, *wrong]
    rng.shuffle(choices)
    return Turn(question_instruction(asked.question, "choice", choices), "ABCD"[choices.index(asked.word)])


def without(words: Sequence[str], answer: str) -> tuple[str, ...]:
    """Return the words but for the answer."""
    return tuple(word for word in words if word != answer)


def _sign(scene: Scene, rng: Random) -> QuestionAndAnswer | None:
    question = rng.choice(_SIGN_QUESTIONS)
    others = tuple(dict.fromkeys(sign_text(rng) for _ in range(4)))
    if scene.sign is None and rng.random() < 0.6:
        return None
    if scene.sign is None:
        return QuestionAndAnswer("sign", question, *_NO_SIGN, others)
    text = scene.sign.text
    return QuestionAndAnswer("sign", question, text, f'The sign says "{text}".', without([*others, "nothing"], text))


def _count(scene: Scene, rng: Random) -> QuestionAndAnswer:
    colours = dict.fromkeys(shape.colour for shape in scene.shapes)
    kinds = [shape.kind for shape in scene.shapes] or list(SHAPES)
    wanted = rng.choice(["", *colours]), rng.choice(kinds) if rng.random() < 0.4 else ""
    count = sum(_matches(shape, wanted) for shape in scene.shapes)
    which, noun = f"{wanted[0]} " if wanted[0] else "", wanted[1] or "shape"
    return counted(count, which, noun, "crosses" if noun == "cross" else f"{noun}s", rng)


def counted(count: int, which: str, noun: str, nouns: str, rng: Random) -> QuestionAndAnswer:
    """Build a question for a number of things, and its answer.

    Args:
        count: how many there are.
        which: words before the noun with a space behind, or nothing.
        noun: what is counted.
        nouns: its plural.
        rng: draws the wording.
    """
    question = rng.choice(
        ("How many {} are there?", "How many {} do you see?", "How many {} are in the image?", "Count the {}.")
    ).format(which + nouns)
    said = f"There {'is' if count == 1 else 'are'} {count} {which}{noun if count == 1 else nouns}."
    return QuestionAndAnswer("count", question, str(count), said, without(["0", "1", "2", "3", "4"], str(count)))


def _exists(scene: Scene, rng: Random) -> QuestionAndAnswer:
    if rng.random() < 0.12:
        yes = scene.sign is not None
        return yes_or_no(rng.choice(("Is there a sign?", "Is there any text?")), yes, "a sign")
    wanted = _thing(scene, rng)
    yes = any(_matches(shape, wanted) for shape in scene.shapes)
    thing = " ".join(word for word in wanted if word) if wanted[1] else f"{wanted[0]} shape"
    if rng.random() < 0.6:
        question = rng.choice(
            ("is there {}?", "is there {} in the image?", "does the image contain {}?", "is {} present?",
             "Is there {}?", "Is there {} in the picture?", "Do you see {}?")
        )  # fmt: skip
        return yes_or_no(question.format(article(thing)), yes, article(thing))
    question = rng.choice(
        ("is there not {}?", "is there not {} in the image?", "does the image not contain {}?", "is no {} present?")
    )
    asked = question.format(thing if question.startswith("is no ") else article(thing))
    said = f"{'No' if yes else 'Yes'}, there is {article(thing) if yes else f'no {thing}'}."
    return QuestionAndAnswer("exists", asked, "no" if yes else "yes", said, ("yes",) if yes else ("no",))


def _thing(scene: Scene, rng: Random) -> tuple[str, str]:
    """Draw a colour, a kind or both, there or not with about the same chance; an empty word stands for any."""
    colour, kind = rng.choice(list(COLOURS)), rng.choice(SHAPES)
    if scene.shapes and rng.random() < 0.6:
        seen = rng.choice(scene.shapes)
        colour, kind = rng.choice(
            ((seen.colour, seen.kind), (seen.colour, seen.kind), (seen.colour, kind), (colour, seen.kind))
        )
    return rng.choice(((colour, ""), ("", kind), (colour, kind)))


def _matches(shape: Shape, wanted: tuple[str, str]) -> bool:
    return wanted[0] in ("", shape.colour) and wanted[1] in ("", shape.kind)


def yes_or_no(question: str, yes: bool, thing: str) -> QuestionAndAnswer:
    """Build a question whether a thing, named with its article, is there, and its answer."""
    absent = thing.partition(" ")[2]
    said = f"Yes, there is {thing}." if yes else f"No, there is no {absent}."
    return QuestionAndAnswer("exists", question, "yes" if yes else "no", said, ("no",) if yes else ("yes",))


def _easy(scene: Scene, rng: Random) -> QuestionAndAnswer | None:
    """Draw a question as easy-VQA asks it: about the only shape of a scene, or the only one of its colour or kind."""
    if not scene.shapes:
        return None
    shape = rng.choice(scene.shapes)
    alone = len(scene.shapes) == 1
    if rng.random() < 0.5:
        if not alone and sum(other.kind == shape.kind for other in scene.shapes) > 1:
            return None
        subject = rng.choice(("shape", shape.kind)) if alone else shape.kind
        question = rng.choice(("what {} is the {}?", "what is the {} of the {}?", "What {} is the {}?"))
        said = f"The {subject} is {shape.colour}."
        return QuestionAndAnswer(
            "colour", question.format(_spelt(rng), subject), shape.colour, said, without(list(COLOURS), shape.colour)
        )
    if not alone and sum(other.colour == shape.colour for other in scene.shapes) > 1:
        return None
    question = rng.choice(
        ("what shape is in the image?", "what shape does the image contain?", "what shape is present?")
        if alone
        else ("",)
    )
    if not alone or rng.random() < 0.5:
        question = rng.choice(("what is the {} shape?", "What is the {} shape?", "What shape is {}?")).format(
            shape.colour
        )
    said = sentence(f"it is {article(named(shape))}")
    return QuestionAndAnswer("shape", question, shape.kind, said, without(SHAPES, shape.kind))


def _spelt(rng: Random) -> str:
    """Spell the word as Americans do, as easy-VQA does, or as others do now and then."""
    return "colour" if rng.random() < 0.3 else "color"


def _place(scene: Scene, rng: Random) -> QuestionAndAnswer | None:
    if scene.sign is not None and rng.random() < 0.3:
        subject, where = "sign", place(scene.sign.box)
    else:
        single = [shape for shape in scene.shapes if sum(named(other) == named(shape) for other in scene.shapes) == 1]
        if not single:
            return None
        shape = rng.choice(single)
        subject, where = named(shape), place(shape.box)
    question = rng.choice(("Where is the {}?", "Where in the image is the {}?", "Where do you see the {}?"))
    return QuestionAndAnswer(
        "place", question.format(subject), where, f"The {subject} is {where}.", without(PLACES, where)
    )


def _relation(scene: Scene, rng: Random) -> QuestionAndAnswer | None:
    """Draw a question about two shapes that are clearly apart: left or right, above or below."""
    names = [named(shape) for shape in scene.shapes]
    single = [shape for shape in scene.shapes if names.count(named(shape)) == 1]
    if len(single) < 2:
        return None
    one, other = rng.sample(single, 2)
    axis = rng.randrange(2)
    apart = other.box.centre[axis] - one.box.centre[axis]
    if abs(apart) < 0.12:
        return None
    before, behind = (("to the left of", "to the right of"), ("above", "below"))[axis]
    asked, yes = rng.choice(((before, apart > 0), (behind, apart < 0)))
    truth = before if apart > 0 else behind
    question = f"Is the {named(one)} {asked} the {named(other)}?"
    said = f"{'Yes' if yes else 'No'}, the {named(one)} is {truth} the {named(other)}."
    return QuestionAndAnswer("relation", question, "yes" if yes else "no", said, ("no",) if yes else ("yes",))
