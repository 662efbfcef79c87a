"""The loop with held-out images: the best weights, a wish to stop, patience, and the pace that is measured before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch

from model.training.artifacts.journal import Report, TrainingStep, ValidationReport, read_reports, read_validations
from model.training.artifacts.snapshot import read_best
from model.training.gradient_step import GradientStep
from model.training.validation.validator import ValidationSums, Validator
from tests.model.training.test_trainer import trainer, validated
from tests.support.small_model import write_pictures


def test_a_run_is_validated_from_its_start_to_its_end_and_keeps_its_best_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pictures(tmp_path / "held", count=4)
    monkeypatch.setattr("model.training.validation.validations._TIMES", 3)
    one = validated(tmp_path / "run", total=6)
    validations, kept = [], {}
    for report in one.run():
        if isinstance(report, ValidationReport):
            validations.append(report)
            kept[report.done] = one.learner.trained()["vision_encoder.norm_lvl_2.bias"].detach().clone()
    assert [report.done for report in validations] == [0, 2, 4, 6]
    assert read_validations(tmp_path / "run" / "metrics.jsonl") == validations
    assert {(report.images, report.answers, report.metric) for report in validations} == {(4, 4, "exact match")}
    best = min(validations[1:], key=lambda report: report.loss)
    assert [report for report in validations if report.best][-1] == best
    found = read_best(tmp_path / "run")
    assert found is not None
    assert found[0] == best.done
    assert torch.equal(found[1]["vision_encoder.norm_lvl_2.bias"], kept[best.done])


@pytest.fixture(scope="module")
def unstopped(tmp_path_factory: pytest.TempPathFactory) -> list[Report]:
    """Reports of a run that nobody stopped."""
    folder = tmp_path_factory.mktemp("unstopped")
    write_pictures(folder / "held", count=4)
    return list(validated(folder / "run").run())


@pytest.mark.parametrize("when", ["in a step", "in a validation", "before the first"])
def test_a_run_that_is_asked_to_stop_leaves_a_checkpoint_and_goes_on_to_the_same_end(
    when: str, unstopped: list[Report], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pictures(tmp_path / "held", count=4)
    one = validated(tmp_path / "run")
    work = {"in a step": (GradientStep, "one_pass", 5), "in a validation": (Validator, "_sums", 3)}  # two in each
    with pytest.MonkeyPatch.context() as patched:
        if when in work:
            kind, name, call = work[when]
            real, calls = getattr(kind, name), []

            def interrupted(*given: Any, **named: Any) -> Any:
                calls.append(1)
                if len(calls) == call:
                    one.stop()
                return real(*given, **named)

            patched.setattr(kind, name, interrupted)
        if when == "before the first":
            one.stop()
        list(one.run())
    assert one.stopped
    assert one.kept == {"in a step": 2, "in a validation": 1, "before the first": 0}[when]
    list(validated(tmp_path / "run", resume=True).run())
    found = read_reports(tmp_path / "run" / "metrics.jsonl")
    assert [told(report) for report in found] == [told(report) for report in unstopped]


def told(report: Report) -> Report:
    """A report without how long it took."""
    return replace(report, **{"images_per_s" if isinstance(report, TrainingStep) else "seconds": 0.0})


def test_a_worker_that_a_signal_ended_first_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(step: GradientStep, *_: object, **__: object) -> NoReturn:
        step.stop_asked = True
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Terminated.")

    monkeypatch.setattr(GradientStep, "one_pass", lost)
    probed, one = trainer(tmp_path / "probed"), trainer(tmp_path / "run")
    assert probed.pace().step_s == 0
    assert list(one.run()) == []
    assert (one.stopped, one.kept) == (True, 0)
    assert (tmp_path / "run" / "checkpoints" / "000000000").exists()


def test_patience_ends_a_run_that_gets_no_better_and_it_stays_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([9.0, 5.0, 4.0, 4.5, 4.6, 1.0])
    write_pictures(tmp_path / "held", count=2)
    monkeypatch.setattr(Validator, "_sums", lambda *_: ValidationSums(next(losses), 1, 1, 0, 0, 1))
    monkeypatch.setattr("model.training.validation.validations._TIMES", 6)
    one = validated(tmp_path / "run", patience=2, total=6)
    assert [report.done for report in one.run() if isinstance(report, ValidationReport)] == [0, 1, 2, 3, 4]
    assert not one.stopped
    assert list(validated(tmp_path / "run", patience=2, total=6, resume=True).run()) == []


def test_pace_is_measured_and_nothing_is_learned_from_it(tmp_path: Path) -> None:
    write_pictures(tmp_path / "held", count=4)
    one, other = validated(tmp_path / "one"), validated(tmp_path / "other")
    pace = one.pace()
    assert min(pace.step_s, pace.validation_s, pace.peak_bytes) > 0
    assert pace.seconds(10, 2) == pytest.approx(10 * pace.step_s + 2 * pace.validation_s)
    assert told(next(one.run())) == told(next(other.run()))
    assert not (tmp_path / "one" / "checkpoints").exists()


def test_what_a_run_without_a_checkpoint_left_is_not_taken_for_the_next_one_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pictures(tmp_path / "held", count=2)
    monkeypatch.setattr(Validator, "_sums", lambda *_: ValidationSums(9.0, 1, 1, 0, 0, 1))
    steps = validated(tmp_path / "run").run()
    assert [next(steps).done for _ in range(3)] == [0, 1, 1]  # the checkpoint would follow, and the process dies
    assert read_best(tmp_path / "run") is not None
    monkeypatch.setattr(Validator, "_sums", lambda *_: ValidationSums(2.0, 1, 1, 1, 1, 1))
    again = validated(tmp_path / "run").run()
    first = next(again)
    assert isinstance(first, ValidationReport)
    assert (first.done, first.loss) == (0, 2.0)
    assert read_best(tmp_path / "run") is None
    assert [report.done for report in read_reports(tmp_path / "run" / "metrics.jsonl")] == [0]


def test_several_processes_that_stop_where_a_validation_is_due_keep_their_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pictures(tmp_path / "held", count=2)
    monkeypatch.setattr(Validator, "_sums", lambda *_: ValidationSums(9.0, 1, 1, 0, 0, 1))
    monkeypatch.setattr(GradientStep, "alone", False)
    one = validated(tmp_path / "run")
    steps = one.run()
    assert next(steps).done == 0
    one.stop()  # the processes agree on it at the end of the next step
    assert [type(report) for report in steps] == [TrainingStep]
    assert (one.stopped, one.kept) == (True, 1)
