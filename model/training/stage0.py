"""Stage 0 as a whole: from nothing to a checkpoint whose frozen parts have been taught and whose trained parts are new.

The published models get their frozen parts from CLIP and Phi 1.5; pheye-tiny gets them here, and Pheye's own stages go
on from the folder this writes. Main thread of one process.
"""

from __future__ import annotations

from pathlib import Path

from model.checkpoint import CheckpointError
from model.config import named_geometry
from model.layout import ADAPTER_RANKS, tensor_shapes
from model.training.export import Trained, export
from model.training.initial import initial_tensors
from model.training.pretrain import Plan
from model.training.pretrain_text import train_tokenizer, train_voice
from model.training.pretrain_vision import train_eye
from model.training.provenance import provenance

EYE = Plan(steps=3000, rate=2e-3)
VOICE = Plan(steps=400, rate=2e-3)


def make_parts(folder: Path, *, eye: Plan = EYE, voice: Plan = VOICE) -> Path:
    """Teach the eye and the voice of pheye-tiny; the checkpoint is `folder`/model, the work is kept beside it.

    A killed run goes on where it was.

    Raises:
        CheckpointError: `folder`/model exists already.
    """
    model = folder / "model"
    if model.exists():
        raise CheckpointError(f"{model}: exists already; choose a new folder")
    config = named_geometry("pheye-tiny")
    tokenizer = train_tokenizer(config.decoder.vocab_size)
    taught = train_eye(config, eye, folder / "eye") | train_voice(config, tokenizer, voice, folder / "voice")
    tensors = initial_tensors(config, ADAPTER_RANKS, seed=0) | taught
    ordered = {name: tensors[name] for name in tensor_shapes(config, ADAPTER_RANKS)}
    record = {"stage": 0, "eye_steps": eye.steps, "voice_steps": voice.steps, **provenance()}
    export(Trained(config, ADAPTER_RANKS, ordered, tokenizer, record), model, "float32")
    return model
