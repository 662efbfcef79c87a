"""`pheye dev bench`: from what is typed to tables, files and an exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from model.bench import run, timing
from model.bench.halves import Twin
from model.bench.plan import Section
from model.bench.roofline import ceilings
from model.bench.roofline.ceilings import ProbeSize
from model.evaluation.case import Case
from model.machine import free_memory
from model.network.pheye import Pheye
from model.runtime.hardware import Precision
from service.bench import agreement
from service.bench import decoding as decoding_bench
from service.bench import engine as engine_bench
from service.bench import features as features_bench
from service.bench import report as bench_report
from service.cli.dev import bench as benching
from service.cli.dev import bench_others
from service.cli.main import app
from service.configuration.settings import Settings
from tests.service.bench.test_report import ENGINE

MICRO = ("--model", "random:pheye-micro", "--threads", "1", "--repeats", "1", "--prompt-tokens", "16")


@pytest.fixture(autouse=True)
def little_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ceilings.PROBES, "cpu", ProbeSize(1 << 20, 64))  # type: ignore[arg-type]
    monkeypatch.setattr(timing, "LEAST_SAMPLE_S", 0.0)
    fewer = {**decoding_bench.decoding_speed.__kwdefaults__, "size_px": (900, 700), "repeats": 1}
    monkeypatch.setattr(decoding_bench.decoding_speed, "__kwdefaults__", fewer)
    monkeypatch.setattr(Pheye, "prepare_compiled", lambda *_, wait: None)  # takes a minute, and is tested elsewhere
    monkeypatch.setenv("PHEYE_MODEL", "random:pheye-micro")
    monkeypatch.setenv("PHEYE_CONTEXT_TOKENS", "512")


def bench(*words: str) -> Any:
    return CliRunner().invoke(app, ["dev", "bench", *words])


def results(folder: Path) -> list[tuple[str, str, int]]:
    found = json.loads((folder / "bench.json").read_text())["results"]
    return [(each["dtype"], each["workload"], each["rows"]) for each in found]


def test_too_little_memory_is_told_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    words = (*MICRO, "--only", "decode", "--dtype", "float32", "--rows", "1")
    assert "may end this" not in bench(*words).output
    monkeypatch.setattr(free_memory, "available_mb", lambda: 0.001)
    done = bench(*words)
    assert done.exit_code == 0
    assert "GB of memory, and 0.0 GB are free: the system may end this" in done.output


def test_everything_is_measured_printed_and_written(tmp_path: Path) -> None:
    done = bench(*MICRO, "--dtype", "float32", "--rows", "1,2", "--report", str(tmp_path / "out"))
    assert done.exit_code == 0, done.output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"bench.json", "bench.md", "bench.png"}
    ones = ("encode", "prefill", "decode", "caption_first_token", "caption", "second_first_token", "second")
    expected = {("float32", name, 1) for name in ones} | {("float32", name, 2) for name in ("prefill", "decode")}
    assert set(results(tmp_path / "out")) == expected | {("float32", "questions", 4)}
    assert "pheye-micro float32" in done.stdout
    assert "pheye: pheye-micro float32: decode, 2" in done.stderr


def test_only_what_is_named_is_measured(tmp_path: Path) -> None:
    words = ("--only", "encode,decode", "--images", "2", "--rows", "3", "--shared-image", "--dtype", "bfloat16")
    assert bench(*MICRO, *words, "--report", str(tmp_path)).exit_code == 0
    assert results(tmp_path) == [("bfloat16", "encode", 2), ("bfloat16", "decode", 3)]
    assert json.loads((tmp_path / "bench.json").read_text())["results"][1]["images"] == 1


def test_decoding_of_a_photograph_is_measured_both_ways(tmp_path: Path) -> None:
    done = bench("--only", "decoding", "--model", "random:pheye-micro", "--threads", "1", "--report", str(tmp_path))
    assert done.exit_code == 0, done.output
    (found,) = json.loads((tmp_path / "bench.json").read_text())["decodings"]
    assert (found["model"], found["largest_view_px"]) == ("pheye-micro", 128)
    assert found["race"]["ratio"]["median"] > 0
    assert 0 < found["mean_difference"] < 0.5
    assert "decoded at full size" in done.stdout


def test_answers_about_encoded_and_kept_images_are_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        features_bench.feature_times, "__kwdefaults__", {**features_bench.feature_times.__kwdefaults__, "images": 6}
    )
    done = bench("--only", "features", "--model", "random:pheye-micro", "--threads", "1", "--report", str(tmp_path))
    assert done.exit_code == 0, done.output
    (found,) = json.loads((tmp_path / "bench.json").read_text())["features"]
    assert (found["model"], found["images"]) == ("pheye-micro-random-weights", 6)
    assert 0 < found["read_s"] < found["folder_s"]
    assert "from the folder" in done.stdout


def test_the_number_of_slots_that_pay_is_told_with_its_figures(tmp_path: Path) -> None:
    done = bench(
        "--only", "slots", "--rows", "1,2", "--dtype", "float32", "--threads", "1", "--report", str(tmp_path)
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    (found,) = json.loads((tmp_path / "bench.json").read_text())["slots"]
    assert (found["model"], found["dtype"], found["threads"]) == ("pheye-micro-random-weights", "float32", 1)
    assert set(found["times"]["steps_s"]) == set(found["answers_per_s"]) == {"1", "2"}
    assert found["advice"]["slots"] == 2  # no more were tried
    told = (tmp_path / "bench.md").read_text()
    assert (
        "- pheye-micro-random-weights on cpu in float32, 1 thread, steps of rows about images of their own: 1 row"
        in told
    )
    assert "Set PHEYE_SLOTS=2: no more were tried" in told
    assert "Set PHEYE_SLOTS=2: no more were tried" in done.stdout


def test_the_engine_is_measured_on_the_model_that_would_be_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        engine_bench.engine_throughput,
        "__kwdefaults__",
        {**engine_bench.engine_throughput.__kwdefaults__, "requests": 3, "max_tokens": 2},
    )
    done = bench("--only", "engine", "--threads", "1", "--report", str(tmp_path))
    assert done.exit_code == 0
    (engine,) = json.loads((tmp_path / "bench.json").read_text())["engines"]
    assert (engine["model"], engine["requests"], engine["tokens"]) == ("pheye-micro-random-weights", 3, 6)
    assert "engine without HTTP" in done.stdout


def test_the_machine_has_the_threads_of_the_tables_whatever_an_engine_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def engine(*_: object) -> engine_bench.EngineThroughput:
        torch.set_num_threads(1)
        return ENGINE

    monkeypatch.setattr(bench_others, "_engine", engine)
    assert bench("--only", "engine", "--threads", "2", "--report", str(tmp_path)).exit_code == 0
    assert json.loads((tmp_path / "bench.json").read_text())["machine"]["threads"] == 2


def test_the_effect_of_int8_and_int4_on_answers_is_measured_on_the_model_that_is_built_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agreement, "QUESTIONS", 20)
    done = bench("--only", "agreement", "--threads", "1", "--report", str(tmp_path))
    assert done.exit_code == 0, done.output
    both = json.loads((tmp_path / "bench.json").read_text())["agreements"]
    assert [(found["model"], found["dtype"], found["questions"]) for found in both] == [
        ("pheye-tiny", "int8", 20),
        ("pheye-tiny", "int4", 20),
    ]
    for found in both:
        assert min(found["float32_score"], found["score"]) >= 80
        for said in (done.stdout, (tmp_path / "bench.md").read_text()):
            assert f"pheye-tiny: {found['dtype']} gives float32's answer to " in said


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """List what would be measured after the sections: a model and how many questions it is asked, the engine's none."""
    asked: list[tuple[str, int]] = []

    def measure_agreement(settings: Settings, cases: Sequence[Case], dtype: str) -> agreement.Agreement:
        asked.append((settings.model, len(cases)))
        return agreement.Agreement(settings.model, dtype, len(cases), 1, 0.0, 0.0)

    monkeypatch.setattr(agreement, "measure_agreement", measure_agreement)
    monkeypatch.setattr(bench_others, "_engine", lambda *_: ENGINE)
    monkeypatch.setattr(
        run, "open_session", lambda *_: run.BenchSession(torch.device("cpu"), timing.Stopwatch(), print)
    )
    monkeypatch.setattr(run, "run", lambda *_: iter(()))
    return asked


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], [("pheye-tiny", 1000)] * 2),
        (["--dtype", "float32,int8", "--quick"], [("pheye-tiny", 300)]),
        (["--dtype", "float32"], []),
        (["--model", "random:pheye-micro"], []),
        (["--device", "cuda"], []),
        (["--only", "agreement", *MICRO], [("random:pheye-micro", 1000)] * 2),
    ],
    ids=["full", "quick, with int8", "without int8", "a model", "cuda", "named with a model"],
)
def test_answers_in_int8_are_part_of_a_run_of_everything_on_a_cpu(
    words: list[str], expected: list[tuple[str, int]], asked: list[tuple[str, int]]
) -> None:
    done = bench(*words)
    assert done.exit_code == 0, done.output
    assert asked == expected


def test_without_the_data_set_a_run_of_everything_goes_on_and_says_so_on_a_line(
    asked: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "easy_vqa", None)
    done = bench("--quick")
    assert done.exit_code == 0
    assert "engine without HTTP" in done.stdout
    (line,) = (line for line in done.stderr.splitlines() if "easy-VQA" in line)
    assert line.startswith("pheye: what int8 and int4 do to answers will not be measured: ")
    assert line.endswith("pip install 'pheye-service[train]'")
    assert asked == []


def test_without_the_data_set_it_cannot_be_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "easy_vqa", None)
    done = bench("--only", "agreement")
    assert done.exit_code == 2
    assert "pip install 'pheye-service[train]'" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--only", "decode,poetry"], ["--only: 'poetry'", "prefill", "engine"]),
        (["--dtype", "float31"], ["--dtype: 'float31'", "int8"]),
        (["--rows", "1,zero"], ["--rows: 'zero'", "1 to 512"]),
        (["--images", "0"], ["--images: '0'"]),
        (["--repeats", "0"], ["--repeats"]),
        (["--only", "agreement", "--device", "cuda"], ["--only agreement", "int8 and int4 are for CPUs"]),
        (["--device", "abacus"], ["--device", "cuda"]),
        (["--model", "random:pheye-huge"], ["no geometry 'pheye-huge'", "pheye-micro"]),
        ([*MICRO, "--prompt-tokens", "1020"], ["--prompt-tokens"]),
        (["--report", "/dev/null/report"], ["/dev/null/report"]),
    ],
    ids=lambda value: value[-2].strip("-") if value[0].startswith("--") and len(value) > 1 else "",
)
def test_mistakes_are_named_before_anything_is_measured(words: list[str], said: list[str]) -> None:
    done = bench(*words)
    assert done.exit_code == 2
    assert done.stdout == ""
    for part in said:
        assert part in done.stderr


def test_a_side_that_makes_something_else_ends_the_command_with_1_after_its_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoilt(twin: Twin, precision: Precision) -> Pheye:
        tensors = {name: tensor.flip(0) for name, tensor in twin.checkpoint.tensors.items()}
        return Pheye(tensors, twin.checkpoint.config, twin.device, precision.dtype)

    monkeypatch.setattr(run, "load_fast", spoilt)
    done = bench(*MICRO, "--only", "decode", "--rows", "1", "--dtype", "float32,int8", "--report", str(tmp_path))
    assert done.exit_code == 1
    assert "WRONG" in done.stdout
    assert done.stderr.count("the two sides have not made the same") == 1, "int8 may differ"
    assert len(results(tmp_path)) == 2


def test_an_interrupted_run_tells_what_it_has_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run.run

    def interrupted(sections: Sequence[Section], session: run.BenchSession) -> Any:
        for number, finding in enumerate(whole(sections, session)):
            yield finding
            if number == 2:
                raise KeyboardInterrupt

    monkeypatch.setattr(run, "run", interrupted)
    done = bench(*MICRO, "--only", "prefill", "--dtype", "float32", "--rows", "1,2,3", "--report", str(tmp_path))
    assert done.exit_code == benching.EXIT_INTERRUPTED
    assert results(tmp_path) == [("float32", "prefill", 1), ("float32", "prefill", 2)]


def test_a_killed_run_has_written_what_it_had_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []
    write = bench_report.write_findings

    def write_findings(findings: bench_report.Findings, folder: Path) -> None:
        write(findings, folder)
        written.append(len(results(folder)))

    monkeypatch.setattr(bench_report, "write_findings", write_findings)
    words = ("--only", "prefill", "--dtype", "float32", "--rows", "1,2")
    assert bench(*MICRO, *words, "--report", str(tmp_path)).exit_code == 0
    assert written == [0, 1, 2]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_said() -> None:
    done = bench("--device", "cuda", "--quick")
    assert done.exit_code == 2
    assert "cuda is not there" in done.stderr
