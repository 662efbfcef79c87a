"""Caption millions of images on a Ray cluster: Ray Data reads and writes, the engine of `pheye caption` answers.

    python deploy/ray/bulk.py s3://bucket/images s3://bucket/captions --workers 8 --gpus 1
    python deploy/ray/bulk.py photos/ answers/ --question "What is it?" --workers 2

Three stages run at the same time: tasks read files, tasks decode and tile them, and a pool of actors answers. Answers
come as Parquet files with the columns of `pheye caption --jsonl FILE.parquet`, and `path`. What is written is
remembered beside them, so the same command goes on where it was stopped. `PHEYE_*` variables choose the model and its
settings. Below about a million images `pheye caption --shard` is simpler. Arrow, with which Ray reads, refuses keys of
S3 with an empty part, such as `a//b.png`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.pixels.image_names import IMAGE_SUFFIXES
from model.pixels.tiles import TiledImage
from model.prompt import caption_instruction, question_instruction
from model.request import Sampling
from service.batch.answerers.local import LocalRun
from service.batch.results.parquet import answer_schema
from service.batch.results.records import AnswerTerms, image_fields, records_of
from service.batch.task import AnswerOptions, ImagePlace, Question, Task
from service.configuration.settings import Settings, load_settings
from service.errors import InvalidField, ServiceError

if TYPE_CHECKING:
    import pyarrow as pa

STALL_S = 60.0  # nobody watches an answer grow: filling every slot comes first
Tiled = TiledImage | ServiceError


class Tiler:
    """The step from files to tiles; a file that cannot be read becomes the error that says why."""

    def __init__(self, settings: Settings, tile_px: int, level: int) -> None:
        self._settings, self._tile_px, self._level = settings, tile_px, level

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Decode and tile one file."""
        return {"path": row["path"], "image": pickle.dumps(self._tiled(row["bytes"]), pickle.HIGHEST_PROTOCOL)}

    def _tiled(self, file: bytes) -> Tiled:
        from service.decoding.decode import silence_pillow, tile
        from service.images import ImageSource

        silence_pillow()
        most, exact = self._settings.max_pixels, self._settings.exact_decoding
        try:
            return tile(ImageSource(file), max_pixels=most, tile_px=self._tile_px, level=self._level, exact=exact)
        except ServiceError as error:
            return error
        except MemoryError:
            return InvalidField("image: there is not enough memory to decode it")


class Answerer:
    """An actor with a loaded model: a batch of tiled images comes in, a table of answers goes out."""

    def __init__(self, settings: Settings, question: Question) -> None:
        from service.worker.load import load_runner

        self._runner = load_runner(settings, settings.devices)
        self._question, self._sampling = question, sampling_of(settings)

    def __call__(self, batch: Mapping[str, Any]) -> pa.Table:
        """Answer the question about every image of a batch."""
        from service.worker.engine import Engine

        tiled: list[Tiled] = [pickle.loads(image) for image in batch["image"]]  # noqa: S301 - of our own tasks
        options = AnswerOptions(self._sampling, may_shorten=True)
        engine = Engine(self._runner, stall_s=STALL_S)
        run = LocalRun(engine, reader_of(tiled), options, in_flight=2 * self._runner.slots, threads=1)
        terms = terms_of(self._runner.config.name, self._sampling)
        return table_of(run, [str(path) for path in batch["path"]], self._question, terms)


def reader_of(images: Sequence[Tiled]) -> Callable[[ImagePlace], TiledImage]:
    """Return what a local run reads images with, where all of them are tiled already; each is named by its number."""

    def read(image: ImagePlace) -> TiledImage:
        tiled = images[int(str(image))]
        if isinstance(tiled, ServiceError):
            raise tiled
        return tiled

    return read


def table_of(run: LocalRun, paths: Sequence[str], question: Question, terms: AnswerTerms) -> pa.Table:
    """Answer a question about images: a row for each of them, an answer or an error.

    A path stays as Ray has it, which knows by it what is answered: as a `Path`, `a//b.png` would be `a/b.png`.
    """
    import pyarrow as pa

    tasks = [Task(Path(str(number)), (question,)) for number in range(len(paths))]
    rows = [
        {"path": paths[outcome.place]} | record | image_fields(paths[outcome.place])
        for outcome in run.run(tasks)
        for record in records_of(outcome, terms)
    ]
    return pa.Table.from_pylist(rows, schema=answer_schema().insert(0, pa.field("path", pa.string())))


def sampling_of(settings: Settings) -> Sampling:
    """Return how answers are sampled: greedy, and as long as the settings say."""
    return Sampling(max_tokens=settings.default_max_tokens)


def terms_of(model: str, sampling: Sampling) -> AnswerTerms:
    """Return what every row tells of its answer's terms."""
    chosen = {"max_tokens": sampling.max_tokens, "temperature": sampling.temperature, "top_p": sampling.top_p}
    return AnswerTerms(model, chosen | {"seed": sampling.seed, "stop": list(sampling.stop)})


def checkpoint_of(out: str, settings: Settings, question: Question) -> str:
    """Name the folder that remembers which images are answered: another question or model has another one."""
    asked = [settings.model, settings.revision, settings.default_max_tokens, dict(question.fields)]
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
    return f"{out}.checkpoint/{digest[:16]}"


def main() -> None:
    """Read the command line and answer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=place, help="a folder, or a bucket as s3://... or gs://...")
    parser.add_argument("out", type=place, help="a folder or bucket for Parquet files; every machine must see it")
    parser.add_argument("--question", help="ask this instead of captioning")
    parser.add_argument("--length", choices=["short", "normal", "long"], default="normal", help="of captions")
    parser.add_argument("--workers", type=int, default=1, help="actors, each with a model")
    parser.add_argument("--cpus", type=float, default=1, help="CPU cores for each of them")
    parser.add_argument("--gpus", type=float, default=0, help="GPUs for each of them")
    parser.add_argument("--batch", type=int, default=64, help="images that an actor is given at once, tiled in memory")
    arguments = parser.parse_args()
    answer_all(arguments, load_settings(), question_of(arguments))


def place(text: str) -> str:
    """Read a folder or bucket as it is typed; a folder's name is made absolute, because others will use it."""
    return text.rstrip("/") if "://" in text else str(Path(text).absolute())


def question_of(arguments: argparse.Namespace) -> Question:
    """Return what is asked about every image."""
    if arguments.question is not None:
        fields = {"question": arguments.question, "answer_style": "sentence"}
        return Question(fields, question_instruction(arguments.question), "answer")
    fields = {"length": arguments.length, "style": "plain"}
    return Question(fields, caption_instruction(arguments.length), "caption")


def answer_all(arguments: argparse.Namespace, settings: Settings, question: Question) -> None:
    """Answer a question about all images that are not answered yet."""
    import ray
    from ray.data.checkpoint import CheckpointConfig

    from model.checkpoint.checkpoint import read_config

    config = read_config(settings.model, settings.revision)
    checkpoint = CheckpointConfig(
        "path", checkpoint_of(arguments.out, settings, question), delete_checkpoint_on_success=False
    )
    ray.data.DataContext.get_current().checkpoint_config = checkpoint
    endings = [suffix.removeprefix(".") for suffix in sorted(IMAGE_SUFFIXES)]
    files = ray.data.read_binary_files(arguments.images, include_paths=True, file_extensions=endings)
    tiled = files.map(Tiler(settings, config.vision.tile_px, config.level).__call__)
    answers = tiled.map_batches(
        Answerer,
        fn_constructor_args=(settings, question),
        compute=ray.data.ActorPoolStrategy(size=arguments.workers),
        batch_size=arguments.batch,
        num_cpus=arguments.cpus,
        num_gpus=arguments.gpus,
    )
    answers.write_parquet(arguments.out)


if __name__ == "__main__":
    main()
