"""Names of models: what is mistyped is told at once, with the near miss, and the network is not waited for."""

from __future__ import annotations

import json
import logging
import shutil
import socket
from pathlib import Path
from threading import Event

import pytest
from huggingface_hub import constants

from model.checkpoint.hub import unreachable
from model.checkpoint.names import PUBLISHED, check_source
from model.checkpoint.sources import EMBEDDED, CheckpointError, fetch
from tests.support.golden import OWN_GOLDEN

GOLDEN = OWN_GOLDEN / "x2-l2"


@pytest.fixture
def hub_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("source", ["pheye-tiny", str(EMBEDDED["pheye-tiny"]), "random:Pheye-x4-448", str(GOLDEN)])
def test_a_right_name_is_taken(source: str) -> None:
    check_source(source)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("pheye-tinny", "did you mean pheye-tiny?"),
        ("PHEYE-TINY", "did you mean pheye-tiny?"),
        ("Pheye-x4-448", "did you mean miguelcarv/Pheye-x4-448 or random:Pheye-x4-448 (random weights)?"),
        ("pheye-micro", "did you mean random:pheye-micro (random weights)?"),
        ("random:pheye-tinny", "did you mean pheye-tiny?"),
        ("miguelcarv/Pheye-x4-484", "did you mean miguelcarv/Pheye-x4-448?"),
        ("miguelcarv/pheye-x2-672", "did you mean miguelcarv/Pheye-x2-672?"),
        ("miguelcarve/Pheye-x4-448", "did you mean miguelcarv/Pheye-x4-448?"),
        ("/nowhere/model", "there is no such folder; a model is a folder, a hub id"),
        (f"{GOLDEN}/config.json", "this is a file; name the folder"),
        (str(GOLDEN.parent / "x2-l"), "did you mean " + str(GOLDEN)),
        (str(GOLDEN.parent), "no config.json in this folder, so it is no checkpoint; did you mean " + str(GOLDEN)),
        ("something else", "published are miguelcarv/Pheye-x4-448"),
        ("  ", "there is no name"),
        ("a\0b", "a\\x00b: there is no such model"),
    ],
    ids=lambda text: repr(text)[-40:],
)
def test_a_wrong_name_is_told_with_the_near_miss_and_without_the_network(
    source: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "create_connection", lambda *_: pytest.fail("the network was asked"))
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - which of them is not the point
        check_source(source)
    assert said in str(refused.value)


def test_a_folder_is_told_what_it_lacks(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(GOLDEN, folder, ignore=shutil.ignore_patterns("images"))
    shutil.rmtree(folder / "encoder")
    with pytest.raises(CheckpointError, match=r"config\.json names encoder: 'encoder', and there is no such folder"):
        check_source(str(folder))
    (folder / "checkpoint.pt").unlink()
    with pytest.raises(CheckpointError, match=r"no model\.safetensors and no checkpoint\.pt in this folder"):
        check_source(str(folder))
    keys = json.loads((folder / "config.json").read_text()) | {"encoder": "someone/encoder"}
    (folder / "config.json").write_text(json.dumps(keys))
    check_source(str(folder), weights=False)


@pytest.mark.usefixtures("hub_is_away")
@pytest.mark.parametrize("ask", [check_source, lambda name: fetch(name, None, "config.json")], ids=["name", "fetch"])
def test_without_the_hub_one_error_says_what_to_do_and_nothing_is_tried_again(
    ask: object, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO), pytest.raises(CheckpointError) as refused:
        ask(PUBLISHED[0])  # type: ignore[operator]
    for words in (PUBLISHED[0], "127.0.0.1: Connection refused", "name a folder", "HF_HOME", "HF_HUB_OFFLINE=1"):
        assert words in str(refused.value)
    assert not caplog.records


@pytest.mark.usefixtures("hub_is_away")
def test_what_the_cache_has_needs_no_hub(tmp_path: Path) -> None:
    repository = tmp_path / "cache" / "models--someone--thing"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    (snapshot / "config.json").write_text("{}")
    check_source("someone/thing")
    assert fetch("someone/thing", None, "config.json") == str(snapshot / "config.json")


def test_a_network_that_swallows_everything_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    over = Event()

    def swallowed(*_: object) -> None:
        over.wait()
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", swallowed)
    assert "did not answer within 0.01 s" in str(unreachable(0.01))
    over.set()


def test_a_password_in_the_address_of_a_hub_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "me:secret@hub.invalid")  # without its scheme
    assert "secret" not in (unreachable(0.5) or "")
