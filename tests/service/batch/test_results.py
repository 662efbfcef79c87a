"""Where answers go: pipes, files that are continued, Parquet, odd names; and what is refused before a model loads."""

from __future__ import annotations

import base64
import contextlib
import errno
import fcntl
import io
import itertools
import json
import os
import shutil
import stat
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from model.request import Sampling
from model.whole_files import write_whole
from service.batch.find_images import NothingToDo, find_images
from service.batch.progress import LONGEST_PAUSE_S, ProgressLines
from service.batch.results import parquet
from service.batch.results.appended import ResultsError, read_records
from service.batch.run import Answerer, Job, carry_out
from service.batch.shard import Shard, ShardError
from service.batch.task import AnsweredQuestion, Question, StandardInput, Task, TaskOutcome
from service.schemas.responses import ImageFields

CAPTION = Question({"length": "normal", "style": "plain"}, "Describe the provided image", "caption")
FACTS = ImageFields(format="PNG", width=2, height=3, frames=1, has_transparency=False)


def start(_: Console, failing: str = "broken", model: str = "m") -> Answerer:
    """An answerer without a model: it says the image's name, and fails on those named so."""

    def answer(place: int, task: Task) -> TaskOutcome:
        if failing in str(task.image):
            return TaskOutcome(place, task, errors=("image: broken",))
        answers = tuple(
            AnsweredQuestion(each, str(task.image).encode(errors="replace").decode(), "stop", confidence=-0.5)
            for each in task.questions
        )
        return TaskOutcome(place, task, answers, (), FACTS)

    return Answerer(model, lambda tasks: (answer(place, task) for place, task in enumerate(tasks)))


def never(_: Console) -> Answerer:
    raise AssertionError("the model must not be loaded for this")


def job(results: Path | None, *images: str, **changes: Any) -> Job:
    return replace(Job(tuple(map(Path, images)), (CAPTION,), Sampling(), results), **changes)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere/out.jsonl", r"nowhere/out.jsonl: there is no folder .*nowhere; make it first"),
        ("folder", r"folder: this is a folder; name a file in it"),
        ("file/out.jsonl", r"file is a file, not a folder"),
        ("table.csv", r"table.csv: line 1 is not a result"),
        ("photo.jpg", r"photo.jpg: this is not a file of results"),
        ("photo.parquet", r"photo.parquet: this is no Parquet file"),
        ("a" * 300, r"aaa: cannot be written: File name too long"),
        ("/proc/nothing.jsonl", r"/proc/nothing.jsonl: cannot be written: "),
    ],
)
def test_a_file_that_cannot_take_answers_is_named_before_the_model_is_loaded(
    name: str, words: str, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    for file, content in (("file", b""), ("table.csv", b"a,b\n"), ("photo.jpg", b"\xff"), ("photo.parquet", b"PAR?")):
        (tmp_path / file).write_bytes(content)
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(ResultsError, match=words):
        carry_out(job(tmp_path / name, "a.png"), never)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_file_that_stays_empty_is_not_left_behind(tmp_path: Path) -> None:
    def no_model(_: Console) -> Answerer:
        raise ValueError("there is no such model")

    for name in ("out.jsonl", "out.parquet"):
        with pytest.raises(ValueError, match="no such model"):
            carry_out(job(tmp_path / name, "a.png"), no_model)
    assert list(tmp_path.iterdir()) == []
    (link := tmp_path / "link.jsonl").symlink_to("later.jsonl")
    with pytest.raises(ValueError, match="no such model"):
        carry_out(job(link, "a.png"), no_model)
    assert list(tmp_path.iterdir()) == [link]


def test_a_failure_is_tried_again_and_told_once_in_the_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.jsonl"
    for _ in range(3):
        assert carry_out(job(out, "a.png", "broken.png"), start) == 1
    assert [sorted(each)[:2] for each in read_records(out)] == [["caption", "confidence"], ["error", "image"]]
    assert capfd.readouterr().err.count("broken.png: image: broken") == 3
    assert carry_out(job(out, "a.png", "broken.png"), lambda console: start(console, failing="?")) == 0
    assert len(read_records(out)) == 3


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (Sampling(temperature=1.0), "temperature is 0.0 there and 1.0 now"),
        (Sampling(max_tokens=9), "max_tokens is 256 there and 9 now"),
        (Sampling(seed=1, stop=("x",)), r"seed is 0 there and 1 now, stop is \[\] there and \['x'\] now"),
    ],
    ids=["temperature", "length", "two at once"],
)
@pytest.mark.parametrize("ending", [".jsonl", ".parquet"])
def test_answers_that_were_sampled_otherwise_are_not_continued(
    changed: Sampling, words: str, ending: str, tmp_path: Path
) -> None:
    out = tmp_path / f"out{ending}"
    assert carry_out(job(out, "a.png"), start) == 0
    before = out.read_bytes()
    with pytest.raises(ResultsError, match=rf"the answer about a.png was sampled otherwise: {words}; choose another"):
        carry_out(job(out, "a.png", sampling=changed), start)
    assert out.read_bytes() == before


def test_answers_to_other_questions_and_of_other_models_stay_and_are_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out, short = tmp_path / "out.jsonl", Question({"length": "short", "style": "plain"}, "Briefly", "caption")
    assert carry_out(job(out, "a.png"), start) == 0
    assert capfd.readouterr().err == ""
    assert carry_out(job(out, "a.png", questions=(short,)), lambda console: start(console, model="n")) == 0
    assert "out.jsonl has 1 answer of the model m; they stay, this run's are added" in capfd.readouterr().err
    assert carry_out(job(out, "a.png"), start) == 0
    assert carry_out(job(out, "a.png", questions=(short,)), start) == 0
    assert "1 answer to what was asked otherwise (length normal, style plain); they stay" in capfd.readouterr().err


def test_a_file_from_before_the_settings_were_written_is_continued(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    carry_out(job(out, "a.png"), start)
    records = [{key: value for key, value in each.items() if key != "settings"} for each in read_records(out)]
    out.write_text("".join(json.dumps(each) + "\n" for each in records))
    before = out.read_bytes()
    assert carry_out(job(out, "a.png", sampling=Sampling(temperature=1.0)), start) == 0
    assert out.read_bytes() == before


def interrupted(console: Console, after: int = 1, first: int = 0) -> Answerer:
    """An answerer that is interrupted after some answers; those before `first` are not complete by then."""
    whole = start(console)

    def some(tasks: Any) -> Any:
        with closing(whole.run(tasks)) as outcomes:
            yield from islice(outcomes, first, first + after)
        raise KeyboardInterrupt

    return replace(whole, run=some)


def test_answers_that_wait_for_an_earlier_image_are_printed_when_the_run_is_interrupted(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert carry_out(job(None, "a.png", "b.png", "c.png"), partial(interrupted, after=2, first=1)) == 130
    assert capfd.readouterr().out == "b.png: b.png\nc.png: c.png\n"


def test_lines_of_an_unfinished_run_do_not_take_the_place_of_another_parquet_file(tmp_path: Path) -> None:
    out, lines, other = (tmp_path / name for name in ("out.parquet", "out.parquet.jsonl", "other.parquet"))
    assert carry_out(job(out, "a.png"), start) == 0
    assert carry_out(job(out, "a.png", "b.png", "c.png"), interrupted) == 130
    assert len(read_records(lines)) == 2
    assert carry_out(job(other, "x.png", "y.png", "z.png"), start) == 0
    begun = out.read_bytes()
    out.write_bytes(other.read_bytes())
    with pytest.raises(ResultsError, match=r"out.parquet.jsonl do not go on from this file.*move out.parquet.jsonl"):
        carry_out(job(out, "a.png", "b.png", "c.png"), never)
    assert (out.read_bytes(), len(read_records(lines))) == (other.read_bytes(), 2)
    out.write_bytes(begun)
    assert carry_out(job(out, "a.png", "b.png", "c.png"), start) == 0
    assert [row["image"] for row in pq.read_table(out).to_pylist()] == ["a.png", "b.png", "c.png"]


def test_a_parquet_file_that_is_replaced_during_a_run_stays(tmp_path: Path) -> None:
    out, other = tmp_path / "out.parquet", tmp_path / "other.parquet"
    assert carry_out(job(other, "x.png"), start) == 0

    def replaced(console: Console) -> Answerer:
        shutil.copy(other, out)
        return start(console)

    with pytest.raises(ResultsError, match="do not go on from this file"):
        carry_out(job(out, "a.png", "b.png"), replaced)
    assert out.read_bytes() == other.read_bytes()


def test_parquet_is_whole_or_not_there_and_continues_where_it_ended(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out, lines = tmp_path / "out.parquet", tmp_path / "out.parquet.jsonl"
    names = ["a.png", os.fsdecode(b"caf\xe9.png"), "broken.png"]

    assert carry_out(job(out, *names), interrupted) == 130
    assert "the same command goes on from here" in capfd.readouterr().err
    assert (out.exists(), len(read_records(lines))) == (False, 1)
    assert carry_out(job(out, *names), start) == 1
    assert list(tmp_path.iterdir()) == [out]
    rows = pq.read_table(out).to_pylist()
    assert [row["image"] for row in rows] == ["a.png", "caf\ufffd.png", "broken.png"]
    assert [row["error"] for row in rows] == [None, None, "image: broken"]
    assert rows[0]["file"]["width"] == 2
    before = out.read_bytes()
    assert carry_out(job(out, *names), start) == 1  # only what failed is asked again
    assert "2 of 3 images are answered already" in capfd.readouterr().err
    assert (list(tmp_path.iterdir()), out.read_bytes()) == ([out], before)
    assert carry_out(job(out, *names, "b.png"), start) == 1
    assert len(pq.read_table(out)) == 4


@pytest.mark.parametrize("ending", [".jsonl", ".parquet"])
def test_a_file_that_another_run_is_writing_is_refused_until_that_ends(ending: str, tmp_path: Path) -> None:
    out, link = tmp_path / f"out{ending}", tmp_path / f"link{ending}"
    link.symlink_to(out)
    for begun in (out, link):  # new, and continued
        with job(begun, "a.png").open():
            for name in (out, link):
                with pytest.raises(
                    ResultsError, match=r"out\S*: another run is writing to this file|link\.jsonl: another"
                ):
                    carry_out(job(name, "b.png"), never)
        assert carry_out(job(out, "a.png", "b.png"), start) == 0
        assert carry_out(job(out, "a.png", "b.png"), start) == 0
    images = [each["image"] for each in (pq.read_table(out).to_pylist() if ending == ".parquet" else read_records(out))]
    assert images == ["a.png", "b.png"]


@pytest.mark.parametrize("ending", [".jsonl", ".parquet"])
@pytest.mark.parametrize("harm", [Path.unlink, lambda lines: write_whole(lines, '{"image": "z.png", "error": "x"}\n')])
def test_answers_that_are_not_there_at_the_end_fail_the_run(harm: Any, ending: str, tmp_path: Path) -> None:
    out = tmp_path / f"out{ending}"
    lines = out if ending == ".jsonl" else tmp_path / "out.parquet.jsonl"

    def harmed(console: Console) -> Answerer:
        whole = start(console)

        def some(tasks: Any) -> Any:
            yield from whole.run(tasks)
            harm(lines)

        return replace(whole, run=some)

    with pytest.raises(ResultsError, match=rf"{lines.name}: there are \d+ bytes in it instead of \d+: someone else"):
        carry_out(job(out, "a.png"), harmed)
    assert ending == ".jsonl" or not out.exists()


def test_a_file_system_without_locks_is_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    assert carry_out(job(tmp_path / "out.jsonl", "a.png"), start) == 0
    assert carry_out(job(tmp_path / "out.parquet", "a.png"), start) == 0
    assert len(list(tmp_path.iterdir())) == 2


ODD_LINES = {
    "nested too deep": '{"image":' + "[" * 100_000,
    "nested": '{"image":"a.png","more":[[[]]]}',
    "settings": '{"image":"a.png","length":"normal","style":"plain","caption":"x","model":"m","settings":7}',
    "an image that is no text": '{"image":5,"caption":[1]}',
    "a confidence": '{"image":"a.png","caption":"x","confidence":"high"}',
    "a file": '{"image":"a.png","caption":"x","file":[]}',
}
ODD_ROWS = {
    "a width that is no number": '{"image":"a.png","file":{"width":"wide"}}',
    "a seed that has no column": '{"image":"a.png","settings":{"seed":99999999999999999999}}',
    "half a letter": '{"image":"a.png","caption":"\\ud800"}',
    "another command's": '{"image":"a.png","id":"1","answer":"x"}',
}


@pytest.mark.parametrize(
    ("name", "line"),
    [
        *(pytest.param("out.jsonl", line, id=f"{words} in lines") for words, line in ODD_LINES.items()),
        *(pytest.param("out.parquet.jsonl", line, id=words) for words, line in (ODD_LINES | ODD_ROWS).items()),
    ],
)
def test_a_line_that_is_no_result_is_named_before_the_model_is_loaded(name: str, line: str, tmp_path: Path) -> None:
    lines = tmp_path / name
    before = f'{{"image": "b.png", "error": "x"}}\n{line}\n'
    lines.write_text(before)
    with pytest.raises(ResultsError, match=rf"{name}: line 2 is not a result of this command; choose another"):
        carry_out(job(tmp_path / name.replace(".parquet.jsonl", ".parquet"), "a.png"), never)
    assert lines.read_text() == before


def test_a_line_with_a_note_of_somebody_s_counts_as_answered_and_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.jsonl"
    assert carry_out(job(out, "a.png"), start) == 0
    noted = json.loads(out.read_text()) | {"note": "look again", "tags": ["x", 1]}
    other = {"image": "a.png", "id": "0.0", "instruction": "Describe", "kind": "exact", "answer": "x", "model": "m"}
    out.write_text(json.dumps(noted) + "\n" + json.dumps(other) + "\n")
    capsys.readouterr()
    assert carry_out(job(out, "a.png", "b.png"), start) == 0
    records = read_records(out)
    assert (records[:2], [each["image"] for each in records[2:]]) == ([noted, other], ["b.png"])
    told = capsys.readouterr().err
    assert "1 of 2 images are answered already" in told
    assert "1 answer to what was asked otherwise (by another command); they stay" in told


def test_a_device_that_is_full_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OSError, match=r"No space left on device: '/dev/full'"):
        carry_out(job(Path("/dev/full"), "a.png"), start)
    for results, as_json in ((Path("-"), False), (None, True), (None, False)):
        full = open(os.open("/dev/full", os.O_WRONLY), "w")  # noqa: SIM115 - closing it fails once more
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", full)
            with pytest.raises(OSError, match=r"No space left on device: 'standard output'"):
                carry_out(job(results, "a.png", as_json=as_json), start)
        with contextlib.suppress(OSError):
            full.close()


def test_parquet_without_its_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "find_spec", lambda _: None)
    with pytest.raises(ResultsError, match=r"Parquet needs the package pyarrow; install the extra pheye-service\[parq"):
        carry_out(job(tmp_path / "out.parquet", "a.png"), never)


def test_a_pipe_gets_lines_as_they_come_and_is_never_read(tmp_path: Path) -> None:
    pipe, seen = tmp_path / "pipe", list[bytes]()
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: seen.append(pipe.read_bytes()))
    reader.start()
    assert carry_out(job(pipe, "a.png", "b.png"), start) == 0
    reader.join(timeout=30)
    assert [json.loads(line)["image"] for line in seen[0].splitlines()] == ["a.png", "b.png"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize("target", ["-", "/dev/stdout"])
def test_a_reader_that_has_seen_enough_ends_the_command_quietly(target: str, tmp_path: Path) -> None:
    code = (
        "from service.cli import entry; from service.batch import run\n"
        "from service.batch.answerers import offline\n"
        "from tests.service.batch.test_results import start\n"
        "import sys; offline.answer = lambda settings, job: run.carry_out(job, start)\n"
        f"sys.argv = ['pheye', 'caption', {str(tmp_path)!r}, '--jsonl', {target!r}]; entry.main()"
    )
    for index in range(1500):
        (tmp_path / f"{index}.png").touch()
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["caption"].endswith(".png")
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=60) == 1


def test_standard_output_takes_lines_or_one_object(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    name = os.fsdecode(b"new\nline\xe9.png")
    assert carry_out(job(Path("-"), name, "-rf.jpg", "x" * 250), start) == 0
    told = [json.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
    assert [each["image"] for each in told] == ["new\nline\ufffd.png", "-rf.jpg", "x" * 250]
    assert os.fsdecode(base64.b64decode(told[0]["image_base64"])) == name
    assert carry_out(job(None, "a.png", as_json=True), start) == 0
    assert json.loads(capfdbinary.readouterr().out)["caption"] == "a.png"
    assert carry_out(job(None, "broken.png", as_json=True), start) == 1
    assert json.loads(capfdbinary.readouterr().out) == {"image": "broken.png", "error": "image: broken"}
    assert not Path("-").exists()


def test_odd_names_are_found_again_when_a_file_is_continued(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    names = [os.fsdecode(b"caf\xe9.png"), "caf\ufffd.png", "new\nline.png", "-rf.jpg", "\x1b[2J.png"]
    for _ in range(2):
        assert carry_out(job(tmp_path / "out.jsonl", *names), start) == 0
    assert len(read_records(tmp_path / "out.jsonl")) == len(names)
    assert carry_out(job(None, *names), start) == 0
    assert [line.split(": ")[0] for line in capfd.readouterr().out.splitlines()] == [
        *("caf\ufffd.png", "caf\ufffd.png", "new\\nline.png", "-rf.jpg", "\\x1b[2J.png")
    ]


def piped(content: bytes) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(content))


def test_an_image_in_standard_input_is_asked_anew_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for content in (b"one", b"two"):
        monkeypatch.setattr(sys, "stdin", piped(content))
        (image,) = find_images(["-"])
        assert image == StandardInput(content)
        assert carry_out(replace(job(tmp_path / "out.jsonl"), images=(image,)), start) == 0
    assert [each["image"] for each in read_records(tmp_path / "out.jsonl")] == ["-", "-"]
    monkeypatch.setattr(sys, "stdin", piped(b""))
    with pytest.raises(NothingToDo, match="standard input is empty"):
        find_images(["-"])


def test_a_pipe_in_a_folder_is_not_waited_for_and_a_name_that_is_too_long_is_told(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "a.png").touch()
    assert find_images([tmp_path]) == (tmp_path / "a.png",)
    with pytest.raises(NothingToDo, match="aaa: File name too long"):
        find_images([tmp_path / ("a" * 300)])


def test_shards_are_disjoint_complete_and_the_same_wherever_the_folder_is(tmp_path: Path) -> None:
    for folder in ("here", "there/deep"):
        (tmp_path / folder / "sub").mkdir(parents=True)
        for index in range(60):
            (tmp_path / folder / ("sub" if index % 2 else ".") / f"{index}.png").touch()
    here, there = tmp_path / "here", tmp_path / "there/deep"
    parts = [find_images([here], Shard(number, 4)) for number in range(1, 5)]
    assert sorted(image for part in parts for image in part) == sorted(find_images([here]))
    assert all(5 <= len(part) <= 30 for part in parts)
    elsewhere = [find_images([there], Shard(number, 4)) for number in range(1, 5)]
    assert [[path.relative_to(here) for path in part] for part in parts] == [
        [path.relative_to(there) for path in part] for part in elsewhere
    ]
    (here / "new.png").touch()
    assert [set(part) <= set(find_images([here], Shard(n, 4))) for n, part in enumerate(parts, 1)] == [True] * 4


@pytest.mark.parametrize("text", ["0/4", "5/4", "3", "a/b", "1/0", "-1/4", "1/4/2", "٣/٤", "1/999999"])
def test_a_shard_that_is_none_is_told_how_one_is_written(text: str) -> None:
    with pytest.raises(ShardError, match=r"write NUMBER/OF, as in 3/16"):
        Shard.parse(text)


def test_a_log_gets_lines_of_progress_whose_pauses_double() -> None:
    now, told = [0.0], list[tuple[float, str]]()
    lines = ProgressLines(lambda line: told.append((now[0], line)), 2000, clock=lambda: now[0])
    for _ in range(2000):
        now[0] += 1.0
        lines.advance()
    assert told[0] == (10.0, "pheye: 10 of 2000 images, 1.00 images/s, 0:33:10 left")
    assert [at for at, _ in told[:6]] == [10.0, 20.0, 40.0, 80.0, 160.0, 320.0]
    assert max(later - earlier for (earlier, _), (later, _) in itertools.pairwise(told)) == LONGEST_PAUSE_S


def test_what_is_written_whole_goes_into_a_pipe_and_leaves_a_link_one(tmp_path: Path) -> None:
    pipe, seen = tmp_path / "pipe", list[str]()
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: seen.append(pipe.read_text()))
    reader.start()
    write_whole(pipe, "told")
    reader.join(timeout=30)
    assert (seen, stat.S_ISFIFO(pipe.stat().st_mode)) == (["told"], True)
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_whole(tmp_path / "link", "kept")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "kept"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
