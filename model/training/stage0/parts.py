"""Stage 0 as a whole: from random weights to a checkpoint with trained frozen parts and new parts to train.

The published models get their frozen parts from CLIP and Phi 1.5; pheye-tiny gets them here, and Pheye's own stages go
on from the folder this writes. Main thread of one process.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from model.checkpoint.sources import CheckpointError
from model.config import named_geometry
from model.layout import ADAPTER_RANKS, tensor_shapes
from model.provenance import provenance
from model.training.artifacts.export import Trained, export
from model.training.initial import initial_tensors
from model.training.stage0.loop import LearningSchedule
from model.training.stage0.text import train_tokenizer, train_voice
from model.training.stage0.vision import train_eye

_EYE = LearningSchedule(steps=3000, rate=2e-3)
_VOICE = LearningSchedule(steps=400, rate=2e-3)
_LEVEL = 2  # of the tiles that the eye learns from; Pheye's stages begin with it too, and go on to the model's own


@dataclass(frozen=True, slots=True)
class Stage0Schedule:
    """Number of steps for each part; the defaults are those of the shipped weights.

    Attributes:
        eye: of the vision transformer.
        voice: of the language model.
        tokenizer_scenes: scenes whose texts the tokenizer is made from.
        compiled: compile the layers; a minute to start, then faster.
    """

    eye: LearningSchedule = _EYE
    voice: LearningSchedule = _VOICE
    tokenizer_scenes: int = 20_000
    compiled: bool = True


def make_parts(folder: Path, lessons: Stage0Schedule | None = None, geometry: str = "pheye-tiny") -> Path:
    """Train the vision encoder and the language model of a new checkpoint, `folder`/model; the work is kept beside it.

    A killed run goes on where it was.

    Raises:
        CheckpointError: `folder`/model exists already.
        ConfigError: there is no such geometry.
    """
    model, lessons = folder / "model", lessons or Stage0Schedule()
    if model.exists():
        raise CheckpointError(f"{model}: exists already; choose a new folder")
    config = replace(named_geometry(geometry), level=_LEVEL)
    tokenizer = train_tokenizer(config.decoder.vocab_size, lessons.tokenizer_scenes)
    seeing = train_eye(config, lessons.eye, folder / "eye", compiled=lessons.compiled)
    speaking = train_voice(config, tokenizer, lessons.voice, folder / "voice", compiled=lessons.compiled)
    tensors = initial_tensors(config, ADAPTER_RANKS, seed=0) | seeing | speaking
    ordered = {name: tensors[name] for name in tensor_shapes(config, ADAPTER_RANKS)}
    record = {"stage": 0, "lessons": asdict(lessons), **provenance()}
    export(Trained(config, ADAPTER_RANKS, ordered, tokenizer, record), model, "float32")
    return model
