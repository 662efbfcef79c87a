"""Ray Data over a folder of images: an actor is killed, the run is killed and goes on; no image is lost or doubled."""

from __future__ import annotations

import os
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.support.ray_cluster import needs_ray, ray_cluster
from tests.support.serving import image_file, wait_until

IMAGES = int(os.environ.get("PHEYE_RAY_IMAGES", "300"))
LONG_S = 60 + IMAGES
ANSWERING = "MapBatches(Answerer)"


def written(folder: Path) -> int:
    """The rows of complete files; one that is being written is none yet."""
    rows = 0
    for file in folder.glob("*.parquet"):
        with suppress(pa.ArrowInvalid, OSError):
            rows += pq.read_metadata(file).num_rows
    return rows


def rows_in(folder: Path) -> list[dict[str, Any]]:
    return [row for file in sorted(folder.glob("*.parquet")) for row in pq.read_table(file).to_pylist()]


def draw(images: Path) -> None:
    images.mkdir()
    for number in range(IMAGES):
        (images / f"{number:05}.png").write_bytes(image_file("PNG", (20 + number % 60, 20 + number // 60)))


@needs_ray
def test_answers_are_those_of_the_command(tmp_path: Path) -> None:
    images, out, log = tmp_path / "images", tmp_path / "out", tmp_path / "log"
    draw(images)
    with ray_cluster() as cluster:
        started = time.monotonic()
        bulk = cluster.start("deploy/ray/bulk.py", str(images), str(out), log=log, threads=1)
        assert bulk.wait(LONG_S) == 0, log.read_text()
        bulk_s = time.monotonic() - started
        command = ("-m", "service.cli.entry", "caption", str(images), "--jsonl", str(tmp_path / "one.parquet"))
        started = time.monotonic()
        assert cluster.start(*command, log=log, threads=1).wait(LONG_S) == 0, log.read_text()
        command_s = time.monotonic() - started
    print(f"{IMAGES} images, one worker: bulk.py {bulk_s:.1f} s, pheye caption {command_s:.1f} s")  # noqa: T201
    said = {row["image"]: row for row in pq.read_table(tmp_path / "one.parquet").to_pylist()}
    rows = {row.pop("path"): row for row in rows_in(out)}
    for row in (*said.values(), *rows.values()):
        row["confidence"] = round(row["confidence"], 2)  # its last digits depend on an answer's neighbours in a batch
    assert rows == said


@needs_ray
def test_no_image_is_lost_or_doubled_by_a_killed_actor_and_a_killed_run(tmp_path: Path) -> None:
    images, out, log = tmp_path / "images", tmp_path / "out", tmp_path / "log"
    draw(images)
    (images / "broken.png").write_bytes(b"no image")
    command = ("deploy/ray/bulk.py", str(images), str(out), "--workers", "2", "--batch", "32")
    settings = {"default_max_tokens": 4, "threads": 1}
    with ray_cluster() as cluster:
        first = cluster.start(*command, log=log, **settings)
        wait_until(lambda: written(out) >= IMAGES // 10, LONG_S)
        cluster.kill(ANSWERING)
        wait_until(lambda: written(out) >= IMAGES // 2, LONG_S)
        first.kill()
        first.wait()
        interrupted = written(out)
        assert interrupted < IMAGES, log.read_text()
        started = time.monotonic()
        assert cluster.start(*command, log=log, **settings).wait(LONG_S) == 0, log.read_text()
        print(f"{interrupted} rows, then {IMAGES + 1 - interrupted} in {time.monotonic() - started:.1f} s")  # noqa: T201
        assert cluster.start(*command, log=log, **settings).wait(LONG_S) == 0, log.read_text()  # nothing is left
    rows = rows_in(out)
    assert Counter(Path(row["path"]).name for row in rows) == Counter(path.name for path in images.iterdir())
    assert [Path(row["path"]).name for row in rows if row["error"] is not None] == ["broken.png"]
    assert all(row["caption"] for row in rows if row["error"] is None)
