"""`pheye evaluate` as people run it: each data set in one command, here or by a service, killed and continued."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from model.evaluation.record import CaseAnswer, read_answers
from model.evaluation.scoring import table
from service.cli.main import app
from service.evaluation.case_results import CaseFile
from tests.service.batch.answerers.test_offline import GOLDEN, PHEYE, wait_for_lines
from tests.support import datasets, serving
from tests.support.serving import running_server

HERE = ["--model", str(GOLDEN), "--device", "cpu", "--threads", "1", "--context-tokens", "512"]


@pytest.fixture(autouse=True)
def no_settings_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("PHEYE_")]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def service() -> Iterator[serving.Server]:
    with running_server(model=GOLDEN, slots=2, context_tokens=512, max_questions=3) as running:
        yield running


def evaluate(*words: str) -> Any:
    return CliRunner().invoke(app, ["evaluate", *words])


def command(dataset: str, folder: Path) -> list[str]:
    """The one command a user with the data types."""
    if dataset == "vqav2":
        questions, annotations, images = datasets.vqav2(folder)
        return ["vqav2", "--questions", str(questions), "--annotations", str(annotations), "--images", str(images)]
    if dataset == "docci":
        descriptions, images = datasets.docci(folder)
        return ["docci", "--descriptions", str(descriptions), "--images", str(images)]
    if dataset == "held-out":
        return ["manifest", str(datasets.manifest(folder)), "--kind", "count"]
    if dataset == "nocaps":
        captions, images = datasets.nocaps(folder)
        return ["nocaps", "--captions", str(captions), "--images", str(images)]
    data, images = datasets.textvqa(folder) if dataset == "textvqa" else datasets.textcaps(folder)
    return [dataset, "--data", str(data), "--images", str(images), "--ocr", str(datasets.ocr(folder))]


def said(file: Path) -> dict[str, str]:
    return {each.case.id: each.answer for each in read_answers(file)}


def in_any_order(file: Path) -> list[CaseAnswer]:
    return sorted(read_answers(file), key=lambda each: each.case.id)


@pytest.mark.parametrize(
    ("dataset", "cases", "metric"),
    [
        ("vqav2", 4, "VQA accuracy"),
        ("textvqa", 2, "VQA accuracy (TextVQA)"),
        ("textcaps", 2, "CIDEr-D"),
        ("nocaps", 3, "CIDEr-D"),
        ("docci", 2, "CIDEr-D"),
        ("held-out", 3, "counting"),
    ],
)
def test_one_command_measures_a_data_set(dataset: str, cases: int, metric: str, tmp_path: Path) -> None:
    result = evaluate(*command(dataset, tmp_path), *HERE, "--max-tokens", "8")
    assert result.exit_code == 0, result.output
    assert metric in result.stdout
    answers = read_answers(Path(f"{dataset}.answers.jsonl"))
    scores = json.loads(Path(f"{dataset}.answers.scores.json").read_text())
    assert (scores["asked"], scores["answered"], scores["dataset"], scores["max_tokens"]) == (cases, cases, dataset, 8)
    assert scores["scores"][0]["cases"] == len(answers) == cases
    assert [each["score"] for each in scores["scores"]] == [each.score for each in table(answers)]
    assert scores["weights"] == answers[0].setup.weights != ""
    assert evaluate("scores", f"{dataset}.answers.jsonl").stdout == result.stdout


def test_answers_that_are_right_are_counted(tmp_path: Path) -> None:
    words = command("textvqa", tmp_path)
    assert evaluate(*words, *HERE, "--max-tokens", "4").exit_code == 0
    answers, data = said(Path("textvqa.answers.jsonl")), json.loads(Path("TextVQA_0.5.1_val.json").read_text())
    data["data"][0]["answers"] = [answers["34600"]] * 3 + ["something else"] * 7
    datasets.write(tmp_path / "TextVQA_0.5.1_val.json", data)
    assert evaluate(*words, *HERE, "--max-tokens", "4").exit_code == 0
    (score,) = json.loads(Path("textvqa.answers.scores.json").read_text())["scores"]
    assert score["score"] == pytest.approx(45.0), "three of ten agree on one of two cases"


@pytest.mark.parametrize("options", [[], ["--attention"], ["--shrink-px", "28"]], ids=["plain", "attention", "shrunk"])
def test_a_service_gives_the_answers_of_an_engine_here(
    options: list[str], service: serving.Server, tmp_path: Path
) -> None:
    words = [*command("vqav2", tmp_path), "--max-tokens", "8", *options]
    assert evaluate(*words, *HERE, "--jsonl", "here.jsonl").exit_code == 0
    assert evaluate(*words, "--server", service.url, "--jsonl", "there.jsonl").exit_code == 0
    assert said(Path("there.jsonl")) == said(Path("here.jsonl"))
    here, there = in_any_order(Path("here.jsonl")), in_any_order(Path("there.jsonl"))
    assert all(bool(each.global_shares) == ("--attention" in options) for each in here + there)
    for one, other in zip(here, there, strict=True):
        assert one.global_shares == pytest.approx(other.global_shares, abs=1e-5)
    assert there[0].setup.weights == "", "a service does not tell them"


def test_easy_vqa_is_asked_over_http_in_one_command(service: serving.Server) -> None:
    result = evaluate("easy-vqa", "--server", service.url, "--limit", "12", "--seed", "3", "--max-tokens", "3")
    assert result.exit_code == 0, result.output
    assert "exact match" in result.stdout
    assert len(read_answers(Path("easy-vqa.answers.jsonl"))) == 12
    assert json.loads(Path("easy-vqa.answers.scores.json").read_text())["asked"] == 12


def test_outside_is_asked_of_a_folder_in_one_command_and_says_which_targets_are_missed(
    service: serving.Server, tmp_path: Path
) -> None:
    photograph = datasets.picture(tmp_path / "mine" / "a.png").parent
    words = ["outside", "--photographs", str(photograph), "--pictures", "1", "--count", "1", "--max-tokens", "3"]
    words += ["--sentence", "I do not know.", "--server", service.url]
    result = evaluate(*words)
    assert result.exit_code == 0, result.output
    assert "says it does not know" in result.stdout
    assert ">= 95 missed" in result.stdout
    scores = json.loads(Path("outside.answers.scores.json").read_text())
    assert (scores["asked"], scores["answered"]) == (19, 19)
    found = {(each["metric"], each["group"]): (each["score"], each["met"]) for each in scores["scores"]}
    assert found["own scenes refused", "all"] == (0.0, True)
    assert found["says it does not know", "photographs, captions"] == (0.0, False)
    assert evaluate(*words).exit_code == 0, "it goes on where it ended, and nothing is left"
    (tmp_path / "empty").mkdir()
    empty = evaluate("outside", "--photographs", str(tmp_path / "empty"), "--server", service.url)
    assert empty.exit_code == 2
    assert "there is no image in this folder" in empty.stderr


def test_a_run_that_is_killed_continues_to_the_same_answers(tmp_path: Path) -> None:
    questions, annotations, images = datasets.vqav2(tmp_path, questions=24)
    words = ["vqav2", "--questions", str(questions), "--annotations", str(annotations), "--images", str(images)]
    words += ["--model", "random:pheye-micro", "--device", "cpu", "--threads", "1", "--slots", "2"]
    words += ["--max-tokens", "100"]
    out = tmp_path / "out.jsonl"
    process = subprocess.Popen(
        [PHEYE, "evaluate", *words, "--jsonl", str(out)], stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    wait_for_lines(process, out, 4)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    stopped = out.read_bytes()
    assert 4 <= stopped.count(b"\n") < 24, "it must be killed in the middle"
    with out.open("ab") as file:
        file.write(b'{"image": "/cut/sho')  # as a power cut in the middle of a line would leave it
    again = evaluate(*words, "--jsonl", str(out))
    assert again.exit_code == 0, again.output
    assert "images are answered already" in again.stderr
    assert out.read_bytes().startswith(stopped[: stopped.rindex(b"\n") + 1])
    assert evaluate(*words, "--jsonl", "whole.jsonl").exit_code == 0
    assert in_any_order(out) == in_any_order(Path("whole.jsonl"))
    scores = (json.loads(Path(name).read_text()) for name in ("out.scores.json", "whole.scores.json"))
    assert next(scores) == next(scores)


def test_ctrl_c_leaves_the_answers_and_no_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    added: list[Any] = []

    def interrupted(file: CaseFile, outcome: Any) -> None:
        if added:
            raise KeyboardInterrupt
        added.append(outcome)
        add(file, outcome)

    add = CaseFile.add
    words = command("vqav2", tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(CaseFile, "add", interrupted)
        result = evaluate(*words, *HERE, "--max-tokens", "4")
    assert result.exit_code == 130
    assert "the same command goes on from here" in result.stderr
    assert len(read_answers(Path("vqav2.answers.jsonl"))) == 2
    assert not Path("vqav2.answers.scores.json").exists()
    again = evaluate(*words, *HERE, "--max-tokens", "4")
    assert "1 of 2 images are answered already" in again.stderr
    assert len(read_answers(Path("vqav2.answers.jsonl"))) == 4


def test_images_that_fail_are_told_and_not_counted(tmp_path: Path) -> None:
    words = command("vqav2", tmp_path)
    (tmp_path / "images" / "COCO_val2014_000000000010.jpg").write_bytes(b"no image")
    result = evaluate(*words, *HERE, "--max-tokens", "4")
    assert result.exit_code == 1
    assert "COCO_val2014_000000000010.jpg: image: not of a format" in result.stderr
    assert "2 of 4 cases are not counted" in result.stderr
    scores = json.loads(Path("vqav2.answers.scores.json").read_text())
    assert (scores["asked"], scores["answered"]) == (4, 2)


def test_a_split_without_references_is_answered_for_its_server(tmp_path: Path) -> None:
    questions, _, images = datasets.vqav2(tmp_path, split="test2015")
    words = ["vqav2", "--questions", str(questions), "--images", str(images), "--submission", "send.json"]
    result = evaluate(*words, *HERE, "--max-tokens", "4")
    assert result.exit_code == 0, result.output
    assert "only their evaluation server can judge them" in result.stderr
    sent = json.loads(Path("send.json").read_text())
    assert {each["question_id"] for each in sent} == {1000, 1001, 1002, 1003}
    assert json.loads(Path("vqav2.answers.scores.json").read_text())["scores"] == []


def test_answers_go_to_standard_output_and_no_scene_is_left_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    result = evaluate("scenes", "--count", "1", "--world", "elsewhere", "--jsonl", "-", "--max-tokens", "2", *HERE)
    assert result.exit_code == 0, result.output
    told = [json.loads(line) for line in result.stdout.splitlines()]
    assert {Path(each["image"]).parents[4] for each in told} == {tmp_path / "cache"}
    assert "counting" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_tertiles_and_attention_are_told_and_drawn(tmp_path: Path) -> None:
    words = [*command("vqav2", tmp_path), "--instances", str(datasets.coco_instances(tmp_path)), "--attention", *HERE]
    for name, options in (("low", ["--shrink-px", "28"]), ("high", [])):
        assert evaluate(*words, "--max-tokens", "4", "--jsonl", f"{name}.jsonl", *options).exit_code == 0
    compared = evaluate("tertiles", "low.jsonl", "high.jsonl", "--plot", "changes.png")
    assert compared.exit_code == 0, compared.output
    assert [line.split("│")[2].split()[0] for line in compared.stdout.splitlines() if "VQA" in line] == [
        *("all", "fine", "medium", "broad")
    ]
    looked = evaluate("attention", "high.jsonl", "--plot", "shares.svg")
    assert looked.exit_code == 0, looked.output
    assert looked.stdout.count(" %") == 2 * 4 * len(read_answers(Path("high.jsonl"))[0].global_shares)
    assert Path("changes.png").stat().st_size > 5000
    assert Path("shares.svg").read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["vqav2", "--questions", "nowhere.json", "--images", "."], ["nowhere.json"]),
        (["vqav2", "--images", "."], ["--questions"]),
        (["nocaps", "--captions", "broken.json", "--images", "."], ["broken.json: not JSON"]),
        (["nocaps", "--captions", "empty.json", "--images", "."], ["nocaps: there is no case in it"]),
        (["nocaps", "--captions", "one.json", "--images", "."], ["a.jpg: there is no such image"]),
        (["docci", "--descriptions", "d", "--images", ".", "--submission", "x"], ["docci has no evaluation server"]),
        (["easy-vqa", "--limit", "0"], ["--limit"]),
        (["easy-vqa", "--in-flight", "3"], ["--in-flight: only with --server"]),
        (["easy-vqa", "--jsonl", "nowhere/x.jsonl"], ["nowhere/x.jsonl: there is no folder nowhere; make it first"]),
        (["easy-vqa", "--jsonl", "x.parquet"], ["x.parquet: an evaluation is written as JSON Lines"]),
        (["vqav2", "--questions", "q", "--images", ".", "--submission", "."], [".: this is a folder; name a file"]),
        (["vqav2", "--questions", "q", "--images", ".", "--submission", "-", "--jsonl", "-"], ["only one of them"]),
        (["easy-vqa", "--server", "localhost"], ["--server: write the whole address"]),
        (["easy-vqa", "--server", "http://127.0.0.1:9"], ["is the service running there?"]),
        (["easy-vqa", "--server", "http://127.0.0.1:9", "--model", "x"], ["--model: not with --server"]),
        (["easy-vqa", "--limit", "2", "--jsonl", "captions.jsonl", *HERE], ["captions.jsonl: line 1: kind: missing"]),
        (["easy-vqa", "--model", "random:pheye-huge"], ["no geometry 'pheye-huge'"]),
        (["scores", "empty.json"], ["empty.json"]),
        (["tertiles", "nowhere.jsonl", "nowhere.jsonl"], ["nowhere.jsonl"]),
        (["attention", "nowhere.jsonl", "--plot", "x.gif"], [".png, .svg, .pdf"]),
        (["moon"], ["moon"]),
    ],
    ids=lambda value: " ".join(value)[-50:].replace("/", "_"),
)
def test_mistakes_are_named_with_what_would_be_accepted(words: list[str], complaint: list[str]) -> None:
    Path("broken.json").write_text("{")
    Path("empty.json").write_text('{"images": []}')
    Path("one.json").write_text('{"images": [{"id": 1, "file_name": "a.jpg"}]}')
    Path("captions.jsonl").write_text('{"image": "a.png", "caption": "A bus."}\n')
    result = evaluate(*words)
    assert result.exit_code == 2, result.output
    for part in complaint:
        assert part in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    "words",
    [["--help"], ["vqav2", "--help"], ["easy-vqa", "--server", "http://127.0.0.1:9"], ["scores", "nowhere.jsonl"]],
    ids=" ".join,
)
def test_torch_is_not_loaded_for_what_needs_no_model(words: list[str]) -> None:
    code = (
        f"import sys; sys.argv = ['pheye', 'evaluate', *{words!r}]; from service.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    )
    root = Path(__file__).parents[4]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-500:]


def test_things_are_asked_for_in_one_command_and_a_folder_without_them_names_the_one_that_fills_it(
    service: serving.Server, tmp_path: Path
) -> None:
    pictures = tmp_path / "things"
    missing = evaluate("things", str(pictures), "--server", service.url)
    assert missing.exit_code == 2
    assert "pheye dev things" in missing.stderr
    (pictures / "twemoji").mkdir(parents=True)
    for name in ("cat", "bus", "apple", "key"):
        Image.new("RGBA", (40, 40), (200, 30, 30, 255)).save(pictures / "twemoji" / f"{name}-0.png")
    result = evaluate("things", str(pictures), "--count", "1", "--max-tokens", "3", "--server", service.url)
    assert result.exit_code == 0, result.output
    assert "things in captions" in result.stdout
    assert json.loads(Path("things.answers.scores.json").read_text())["asked"] >= 8
