"""Without a server: the golden answers, batched or alone, interrupted, killed and continued, past unreadable images."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from model.pixels.tiles import ImageKey, TiledImage
from model.request import Sampling
from service.batch.answerers import offline
from service.batch.answerers.local import LocalRun
from service.batch.answerers.offline import answer
from service.batch.find_images import NothingToDo, find_images
from service.batch.results.appended import ResultsError
from service.batch.results.jsonl import ResultFile
from service.batch.results.records import AnswerTerms
from service.batch.results.text import Printer
from service.batch.run import Job
from service.batch.task import AnswerOptions, CannotAsk, Question, Task, TaskOutcome
from service.configuration.settings import Settings, load_settings
from service.errors import InvalidField
from service.messages.from_worker import Broken, Finished, RowTimings, StepDone, Usage
from service.messages.to_worker import Submit
from tests.support.golden import OWN_GOLDEN
from tests.support.hostile_web import answer as answer_of
from tests.support.hostile_web import hostile_web, unused_port
from tests.support.signals import interrupted_at_a_pipe, take_interrupts

GOLDEN = OWN_GOLDEN / "x2-l2"
CASES = json.loads((GOLDEN / "cases.json").read_text())["cases"]
CAPTION = Question({"length": "normal", "style": "plain"}, "Describe the provided image", "caption")
PHEYE = str(Path(sys.executable).parent / "pheye")


def question(text: str) -> Question:
    return Question({"question": text, "answer_style": "sentence"}, text, "answer")


def golden_settings(**flags: Any) -> Settings:
    return load_settings(**({"model": str(GOLDEN), "devices": "cpu", "threads": 1, "context_tokens": 512} | flags))


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def said(path: Path) -> list[dict[str, Any]]:
    """Records without their numbers, which batches of another size change in their last digits."""
    return [{k: v for k, v in each.items() if k not in ("confidence", "probabilities")} for each in records(path)]


def answers_by_question(out: Path) -> dict[tuple[str, str], str]:
    return {(Path(each["image"]).name, each["question"]): each["answer"] for each in records(out)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(GOLDEN / "images", tmp_path / "images")
    return tmp_path / "images"


@pytest.mark.parametrize("slots", [1, 8], ids=["one at a time", "eight at a time"])
def test_answers_are_the_originals_batched_or_alone(slots: int, tmp_path: Path) -> None:
    asked: dict[str, list[str]] = defaultdict(list)
    for case in CASES:
        asked[case["image"]].append(case["question"])
    out = tmp_path / "out.jsonl"
    for image, texts in asked.items():
        job = Job((GOLDEN / image,), tuple(map(question, texts)), Sampling(max_tokens=24), out)
        assert answer(golden_settings(slots=slots), job) == 0
    found = answers_by_question(out)
    assert found == {(Path(case["image"]).name, case["question"]): case["answer"] for case in CASES}


def test_a_folder_is_answered_together_as_each_image_alone(folder: Path, tmp_path: Path) -> None:
    together, alone = tmp_path / "together.jsonl", tmp_path / "alone.jsonl"
    images, asked, sampling = find_images([folder]), (CAPTION, question("Why?")), Sampling(max_tokens=16)
    answer(golden_settings(slots=3), Job(images, asked, sampling, together))
    for image in images:
        answer(golden_settings(slots=1), Job((image,), asked, sampling, alone))
    in_any_order = (sorted(json.dumps(record) for record in said(out)) for out in (together, alone))
    assert next(in_any_order) == next(in_any_order)
    assert len(records(together)) == 2 * len(images)


def test_sampled_answers_repeat_with_their_seed_whatever_the_batch(folder: Path, tmp_path: Path) -> None:
    runs = []
    for slots in (1, 4):
        out = tmp_path / f"{slots}.jsonl"
        sampling = Sampling(max_tokens=16, temperature=1.0, seed=7)
        answer(golden_settings(slots=slots), Job(find_images([folder]), (CAPTION,), sampling, out))
        runs.append({record["image"]: record["caption"] for record in records(out)})
    assert runs[0] == runs[1]


def test_unreadable_images_are_reported_and_the_rest_is_answered(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "broken.png").write_bytes((folder / "img3_640x480.png").read_bytes()[:200])
    (folder / "text.jpg").write_text("not an image")
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    out = tmp_path / "out.jsonl"
    code = answer(golden_settings(), Job(find_images([folder]), (CAPTION,), Sampling(max_tokens=4), out))
    failed = {Path(record["image"]).name: record["error"] for record in records(out) if "error" in record}
    assert code == 1
    assert failed.keys() == {"broken.png", "text.jpg", "gone.png"}
    assert failed["gone.png"] == "image: No such file or directory"
    assert sum("caption" in record for record in records(out)) == 6
    said = capfd.readouterr().err
    assert "broken.png: image: broken or cut short" in said
    assert "3 of 9 images failed" in said


def test_what_was_read_is_written_down_and_a_missing_end_is_told(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    image = folder / "img3_640x480.png"
    image.write_bytes(image.read_bytes()[:-12])  # the end mark
    out, asked, sampling = tmp_path / "out.jsonl", (CAPTION, question("Why?")), Sampling(max_tokens=4)
    for _ in range(2):  # the second time nothing is left to ask: what was read is no part of the question
        assert answer(golden_settings(), Job((image,), asked, sampling, out)) == 0
    facts = {"format": "PNG", "width": 640, "height": 480, "frames": 1, "has_transparency": False}
    assert [(record["file"], record["warnings"]) for record in records(out)] == [(facts, ["image_end_missing"])] * 2
    said = capfd.readouterr().err
    assert said.count("img3_640x480.png: warning: the end of the file is missing; what is there was read") == 1


def test_answered_images_are_skipped_and_failed_ones_tried_again(folder: Path, tmp_path: Path) -> None:
    out, sampling = tmp_path / "out.jsonl", Sampling(max_tokens=4)
    good = (folder / "img3_640x480.png").read_bytes()
    (folder / "img3_640x480.png").write_bytes(good[:200])
    assert answer(golden_settings(), Job(find_images([folder]), (CAPTION,), sampling, out)) == 1
    (folder / "img3_640x480.png").write_bytes(good)
    first = out.read_bytes()
    assert answer(golden_settings(), Job(find_images([folder]), (CAPTION,), sampling, out)) == 0
    assert out.read_bytes().startswith(first)
    added = records(out)[len(first.splitlines()) :]
    assert [Path(record["image"]).name for record in added] == ["img3_640x480.png"]


@pytest.mark.parametrize(
    ("other", "flags"),
    [
        (Question({"length": "short", "style": "plain"}, "Briefly", "caption"), {}),
        (question("Why?"), {}),
        (CAPTION, {"name": "another-model"}),
    ],
    ids=["another length", "a question", "another model"],
)
def test_another_question_or_model_is_not_taken_for_answered(
    other: Question, flags: dict[str, str], tmp_path: Path
) -> None:
    out, image = tmp_path / "out.jsonl", GOLDEN / "images" / "img2_28x28.png"
    answer(golden_settings(), Job((image,), (CAPTION,), Sampling(max_tokens=2), out))
    answer(golden_settings(**flags), Job((image,), (other,), Sampling(max_tokens=2), out))
    assert len(records(out)) == 2


def test_choices_are_answered_by_one_of_them_with_the_probability_of_each(folder: Path, tmp_path: Path) -> None:
    out, texts = tmp_path / "out.jsonl", ("a cat", "a dog", "a")
    asked = Question({"question": "Which?", "answer_style": "short", "choices": list(texts)}, "Which?", "answer", texts)
    job = Job(find_images([folder]), (asked, CAPTION), Sampling(max_tokens=4), out)
    assert answer(golden_settings(), job) == 0
    told = [record for record in records(out) if "answer" in record]
    assert len(told) == len(job.images)
    for record in told:
        assert record["answer"] in texts
        assert sum(record["probabilities"]) == pytest.approx(1.0, abs=1e-5)
        assert record["probabilities"][texts.index(record["answer"])] == max(record["probabilities"])
    assert all(record["confidence"] < 0 for record in records(out))
    before = out.read_bytes()
    assert answer(golden_settings(), job) == 0
    assert out.read_bytes() == before  # numbers are no part of what was asked


def many_images(folder: Path, count: int) -> Path:
    folder.mkdir()
    for index in range(count):
        Image.new("RGB", (20 + index, 30), (index, 2 * index, 255 - index)).save(folder / f"{index:03}.png")
    return folder


def start(folder: Path, out: Path) -> subprocess.Popen[str]:
    command = [PHEYE, "caption", str(folder), "--jsonl", str(out), "--max-tokens", "200", "--slots", "2"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PHEYE_")}
    return subprocess.Popen(
        [*command, "--threads", "1"], stderr=subprocess.PIPE, text=True, env=environment, preexec_fn=take_interrupts
    )


def wait_for_lines(process: subprocess.Popen[str], out: Path, count: int) -> None:
    until = time.monotonic() + 60
    while not out.exists() or out.read_bytes().count(b"\n") < count:
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill -9"])
def test_a_run_that_is_stopped_continues_to_the_same_answers(by: signal.Signals, tmp_path: Path) -> None:
    images, out, whole = many_images(tmp_path / "images", 16), tmp_path / "out.jsonl", tmp_path / "whole.jsonl"
    process = start(images, out)
    wait_for_lines(process, out, 3)
    process.send_signal(by)
    _, said = process.communicate(timeout=60)
    stopped = records(out)
    assert 3 <= len(stopped) < 16, "it must be stopped in the middle"
    if by is signal.SIGINT:
        assert process.returncode == 130
        assert "the same command goes on from here" in said
        assert "Traceback" not in said
    with out.open("ab") as file:
        file.write(b'{"image": "/cut/sho')  # as a power cut in the middle of a line would leave it
    tiny = load_settings(devices="cpu", threads=1, slots=2)
    for results in (out, whole):
        assert answer(tiny, Job(find_images([images]), (CAPTION,), Sampling(max_tokens=200), results)) == 0
    assert records(out)[: len(stopped)] == stopped
    assert len(records(out)) == 16
    captions = ({record["image"]: record["caption"] for record in records(file_of)} for file_of in (out, whole))
    assert next(captions) == next(captions)


def test_one_interrupt_ends_a_run_that_reads_from_a_pipe_into_which_nobody_writes(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.png"
    ended = interrupted_at_a_pipe([PHEYE, "caption", str(pipe), "--slots", "2", "--threads", "1"], pipe)
    assert (ended.returncode, ended.stderr) == (130, "pheye: interrupted\n")


@pytest.mark.parametrize("cut", range(0, 60, 7))
def test_a_torn_last_line_is_taken_out_wherever_it_was_cut(cut: int, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    line = json.dumps({"image": "é.png", **CAPTION.fields, "caption": "a\nb", "finish_reason": "stop", "model": "m"})
    out.write_text(f"{line}\n{line.replace('é', 'è')[:cut]}")
    with ResultFile(out) as results:
        results.begin(AnswerTerms("m"))
        assert results.has(Path("é.png"), CAPTION)
        assert not results.has(Path("è.png"), CAPTION)
    assert out.read_text() == line + "\n"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"\xff\xd8\xff\xe0 a photograph", "not a file of results"),
        (b"a,b\n1,2\n", "line 1 is not a result"),
        (b'{"image": "a", "error": "b"}\n\n', "line 2 is not a result"),
    ],
    ids=["a photograph", "a table", "an empty line"],
)
def test_a_file_of_something_else_is_left_alone(content: bytes, complaint: str, tmp_path: Path) -> None:
    out = tmp_path / "precious"
    out.write_bytes(content)
    with pytest.raises(ResultsError, match=complaint):
        ResultFile(out)
    assert out.read_bytes() == content


def test_a_prompt_that_cannot_fit_ends_the_run_at_once(folder: Path, tmp_path: Path) -> None:
    job = Job(find_images([folder]), (CAPTION,), Sampling(max_tokens=511), tmp_path / "out.jsonl")
    with pytest.raises(CannotAsk, match="max_tokens: 511 and a prompt of 86 tokens exceed"):
        answer(golden_settings(), job)


def test_folders_are_walked_in_order_and_nothing_is_taken_twice(tmp_path: Path) -> None:
    for name in ("b/2.PNG", "b/1.jpeg", "a/3.webp", "a/notes.txt", "0.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = find_images([tmp_path / "b" / "2.PNG", tmp_path, tmp_path / "a" / "notes.txt"])
    assert [str(path.relative_to(tmp_path)) for path in found] == [
        "b/2.PNG",
        "0.tif",
        "a/3.webp",
        "b/1.jpeg",
        "a/notes.txt",
    ]


@pytest.mark.parametrize("name", ["missing.png", "empty"])
def test_a_path_with_nothing_to_do_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NothingToDo, match=name):
        find_images([tmp_path / name])


def outcome(place: int, name: str, *texts: str) -> TaskOutcome:
    from service.batch.task import AnsweredQuestion

    asked = [question(f"Q{index}?") for index in range(len(texts))]
    answers = tuple(AnsweredQuestion(each, text, "stop") for each, text in zip(asked, texts, strict=True))
    return TaskOutcome(place, Task(Path(name), tuple(asked)), answers)


@pytest.mark.parametrize(
    ("images", "questions", "printed"),
    [
        (False, False, "two\nlines\n"),
        (True, False, "a.png: two lines\n"),
        (False, True, "Q0?: two lines\n"),
        (True, True, "a.png: Q0?: two lines\n"),
    ],
    ids=["one text alone", "images are named", "questions are named", "both are named"],
)
def test_lines_name_what_varies(
    images: bool, questions: bool, printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Printer(images=images, questions=questions).add(outcome(0, "a.png", "two\nlines"))
    assert capsys.readouterr().out == printed


@pytest.mark.parametrize("many", [False, True], ids=["alone", "named"])
def test_the_probability_of_each_choice_is_printed_behind_the_answer(
    many: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    from service.batch.task import AnsweredQuestion

    asked = Question({"question": "Which?"}, "Which?", "answer", ("A", "B"))
    told = AnsweredQuestion(asked, "B", "stop", confidence=-0.1, probabilities=(0.0699, 0.9301))
    Printer(images=False, questions=many).add(TaskOutcome(0, Task(Path("a"), (asked,)), (told,)))
    assert capsys.readouterr().out == ("Which?: " if many else "") + "B (A 7.0%, B 93.0%)\n"


def test_lines_come_in_the_order_of_the_images(capsys: pytest.CaptureFixture[str]) -> None:
    printer = Printer(images=True, questions=False)
    for place, name in ((1, "b"), (0, "a"), (3, "d"), (2, "c")):
        printer.add(
            outcome(place, name, name.upper()) if name != "c" else TaskOutcome(2, Task(Path("c"), ()), (), ("bad",))
        )
    assert capsys.readouterr().out == "a: A\nb: B\nd: D\n"


def test_a_name_that_is_not_text_does_not_stop_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = os.fsdecode(b"\xff\xfe.png")
    Printer(images=True, questions=False).add(outcome(0, name, "seen"))
    assert capsys.readouterr().out == "\ufffd\ufffd.png: seen\n"
    with ResultFile(tmp_path / "out.jsonl") as results:
        results.begin(AnswerTerms("m"))
        results.add(outcome(0, name, "seen"))
    with ResultFile(tmp_path / "out.jsonl") as again:
        again.begin(AnswerTerms("m"))
        assert again.has(Path(name), question("Q0?"))


class SlowEngine:
    """An engine that finishes one row in a step, and breaks those whose instruction says so."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str]] = []
        self.images = 0

    @property
    def busy(self) -> bool:
        return bool(self.rows)

    def submit(self, message: Submit) -> None:
        self.rows.extend((row.id, row.instruction) for row in message.rows)

    def step(self) -> StepDone:
        row_id, instruction = self.rows.pop(0)
        if instruction == "break":
            return StepDone((Broken(row_id, "not finite"),))
        return StepDone((Finished(row_id, f" {row_id}", "stop", Usage(1, 1, 1, 1, 0), RowTimings(0, 0, 0, 0)),))


def test_no_more_images_are_in_memory_than_allowed() -> None:
    made = ended = most = 0
    lock = threading.Lock()

    def read(path: Path) -> TiledImage:
        nonlocal made, most
        with lock:
            made += 1
            most = max(most, made - ended)
        return TiledImage(ImageKey(""), 1, 1, None)  # type: ignore[arg-type]

    def endless() -> Iterator[Task]:
        yield from (Task(Path(str(index)), (CAPTION,)) for index in range(10**9))

    outcomes = LocalRun(SlowEngine(), read, AnswerOptions(Sampling()), in_flight=6, threads=3).run(endless())
    for _ in range(50):
        next(outcomes)
        ended += 1
    outcomes.close()
    assert 1 < most <= 6 + 1  # one outcome is told before it is counted here


def run_batch(tasks: Iterable[Task], read: Any) -> list[TaskOutcome]:
    return list(LocalRun(SlowEngine(), read, AnswerOptions(Sampling()), in_flight=4, threads=2).run(tasks))


def test_one_broken_answer_leaves_the_others_of_its_image() -> None:
    asked = (question("a"), question("break"), question("c"))
    (only,) = run_batch([Task(Path("x"), asked)], lambda _: TiledImage(ImageKey(""), 1, 1, None))
    assert [answer.text for answer in only.answers] == ["0.0", "0.2"]
    assert only.errors == ("not finite",)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (InvalidField("image: broken"), "image: broken"),
        (PermissionError(13, "Permission denied"), "image: Permission denied"),
        (MemoryError(), "image: there is not enough memory to decode it"),
    ],
    ids=["broken", "not allowed", "too large for the memory"],
)
def test_what_goes_wrong_with_a_file_is_its_outcome(error: Exception, words: str) -> None:
    def read(_: Path) -> TiledImage:
        raise error

    (only,) = run_batch([Task(Path("x"), (CAPTION,))], read)
    assert only.errors == (words,)


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_is_told_of_a_model_that_loads_for_long(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offline, "LOADING_S", 0.01)
    console = Console(file=io.StringIO(), force_terminal=terminal, color_system=None)
    with offline.loading_told(console, "some/model\x1b[2J"):
        time.sleep(0.3)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert shown == ("pheye: loading some/model\\x1b[2J ...\n" if terminal else "")


def test_a_terminal_sees_a_bar_with_the_rate_and_a_file_lines_at_most(tmp_path: Path) -> None:
    pty = pytest.importorskip("pty")
    images, out, (ours, theirs) = many_images(tmp_path / "images", 6), tmp_path / "out.jsonl", pty.openpty()
    command = [PHEYE, "caption", str(images), "--jsonl", str(out), "--max-tokens", "4", "--slots", "2"]
    process = subprocess.Popen(command, stderr=theirs, env={**os.environ, "TERM": "xterm", "COLUMNS": "120"})
    os.close(theirs)
    seen = b""
    with contextlib.suppress(OSError):  # how Linux tells that the other side is closed
        while piece := os.read(ours, 65536):
            seen += piece
    os.close(ours)
    assert process.wait(timeout=60) == 0
    assert b"6/6" in seen
    assert b" images/s, 0:00:00 left" in seen
    silent = subprocess.run([*command[:3], "--max-tokens", "4"], capture_output=True, text=True, check=True)
    assert all(line.startswith("pheye: ") for line in silent.stderr.splitlines())
    assert len(silent.stdout.splitlines()) == 6


def test_an_image_on_the_web_is_answered_like_the_file_of_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file, out = GOLDEN / "images" / "img3_640x480.png", tmp_path / "out.jsonl"
    with hostile_web({"/a%20b//c.png": answer_of(file.read_bytes())}) as web:
        url, gone = web.url("/a%20b//c.png?secret=1"), f"http://127.0.0.1:{unused_port()}/x.png"
        images = find_images([str(file), url, gone, url])
        assert [str(image) for image in images] == [str(file), url, gone]
        job = Job(images, (CAPTION,), Sampling(max_tokens=8), out)
        assert answer(golden_settings(), job) == 1
        assert answer(golden_settings(), job) == 1  # goes on: what is answered is not fetched again
        assert len(web.heads) == 1
    captions = {record["image"]: record["caption"] for record in records(out) if "caption" in record}
    assert captions == {str(file): captions[url], url: captions[url]}
    assert f"{gone}: image: 127.0.0.1: no connection to port" in capfd.readouterr().err


def test_what_is_no_url_of_an_image_is_told_before_anything_is_loaded() -> None:
    with pytest.raises(NothingToDo, match=r"^a URL: no user and no password are taken in a URL$"):
        find_images(["https://user:secret@example.org/a.png"])
