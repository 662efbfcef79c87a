"""Files of keys that change under a running service: what is accepted then, and what a broken file changes: nothing."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from service import upkeep
from service.api.access import key_reload
from service.api.access.key_reload import KeyReload
from service.api.access.keys import ApiKeys
from service.api.request_context import context_of, open_context
from service.configuration import key_files
from service.configuration.client_policy import ClientPolicy, rates_of
from service.configuration.settings import Settings, SettingsError, load_settings
from service.errors import Unauthorized
from service.metrics.service_metrics import Metrics
from tests.support.decoders import until

BOTH = "[[key]]\nname = 'web'\nkey = 'web'\n[[key]]\nname = 'nightly'\nkey = 'nightly'\n"


class Door:
    """Keys that are watched while a test changes their files."""

    def __init__(self, **settings: Any) -> None:
        self.metrics = Metrics()
        self.reload = KeyReload(Settings(**settings), self.metrics)
        self.keys = ApiKeys(self.reload.keys, ClientPolicy(), [])

    def opens(self, key: str) -> bool:
        try:
            self.policy_of(key)
        except Unauthorized:
            return False
        return True

    def policy_of(self, key: str) -> ClientPolicy:
        scope = {"type": "http", "method": "POST", "path": "/v1/caption", "headers": [
            (b"authorization", b"Bearer " + key.encode())]}  # fmt: skip
        open_context(scope)
        self.keys.check(scope)
        return context_of(scope).policy

    @property
    def valid(self) -> bool:
        return b"pheye_keys_file_valid 1.0" in self.metrics.render()[0]

    def after(self, change: Callable[[], object], expected: Callable[[], bool]) -> None:
        """Change a file while it is watched, and wait until what is expected has come."""

        async def watched() -> None:
            watching = asyncio.create_task(self.reload.watch(self.keys.replace))
            await asyncio.sleep(0)
            change()
            async with asyncio.timeout(20):
                while not expected():  # noqa: ASYNC110 - a file has no event
                    await asyncio.sleep(0.005)
            watching.cancel()

        asyncio.run(watched())


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(key_reload, "LOOK_S", 0.005)
    path = tmp_path / "keys.toml"
    path.write_text(BOTH)
    return path


def rename(file: Path) -> None:
    """Put the key `new` in the place of `nightly`."""
    file.write_text(BOTH.replace("nightly", "new"))


def test_a_key_that_is_removed_is_refused_and_one_that_is_added_is_accepted(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    door = Door(keys_file=str(file), api_keys="plain")
    assert [door.opens(key) for key in ("web", "nightly", "plain", "new")] == [True, True, True, False]
    door.after(lambda: file.write_text(BOTH.replace("nightly", "new")), lambda: door.opens("new"))
    assert [door.opens(key) for key in ("web", "nightly", "plain")] == [True, False, True]
    assert "keys read again: 3 are accepted; added 'new'; removed 'nightly'" in caplog.text
    door.after(lambda: file.write_text(BOTH.replace("'web'\nkey", "'web'\nrate = '5/second'\nkey")),
               lambda: door.policy_of("web").rate == rates_of("5/second"))  # fmt: skip
    assert "changed 'web'" in caplog.text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda file: file.write_text(BOTH + "[[key"), "not TOML"),
        (lambda file: file.write_text(""), "there is no [[key]] in it"),
        (lambda file: file.write_text(BOTH + "rate = 'often'"), "key 2 (nightly): rate: not a rate limit"),
        (lambda file: file.write_bytes(b"\xff\xfe"), "not text in UTF-8"),
        (lambda file: file.unlink(), "No such file"),
        (lambda file: (file.unlink(), file.mkdir()), "Is a directory"),
        (lambda file: file.write_bytes(b"#" * (5 << 20)), "has more than 4 MiB"),
    ],
    ids=["cut short", "empty", "a field", "binary", "gone", "a folder", "large"],
)
def test_a_file_that_is_wrong_changes_nothing_until_it_is_mended(
    file: Path, caplog: pytest.LogCaptureFixture, change: Callable[[Path], object], words: str
) -> None:
    door = Door(keys_file=str(file))
    door.after(lambda: change(file), lambda: not door.valid)
    assert door.opens("web")
    assert door.opens("nightly")
    assert "the keys stay as they were, 2 of them" in caplog.text
    assert words in caplog.text

    def mend() -> None:
        if file.is_dir():
            file.rmdir()
        file.write_text(BOTH.replace("nightly", "new"))

    door.after(mend, lambda: door.valid)
    assert [door.opens(key) for key in ("web", "nightly", "new")] == [True, False, True]


def test_a_mounted_secret_of_plain_keys_is_followed_when_its_link_is_turned(file: Path) -> None:
    """As Kubernetes does it: the file is a link into a folder, which is a link that is replaced."""
    folder = file.parent
    for name, text in (("first", "one\ntwo\n"), ("second", "two, three\n")):
        (folder / name).mkdir()
        (folder / name / "keys").write_text(text)
    (folder / "..data").symlink_to("first")
    (folder / "keys").symlink_to("..data/keys")
    door = Door(api_keys_file=str(folder / "keys"))
    assert [door.opens(key) for key in ("one", "two", "three")] == [True, True, False]

    def turn() -> None:
        (folder / "..new").symlink_to("second")
        os.replace(folder / "..new", folder / "..data")

    door.after(turn, lambda: door.opens("three"))
    assert [door.opens(key) for key in ("one", "two")] == [False, True]


@pytest.mark.parametrize(("text", "words"), [("", "there is no key in it"), ("a b", "a space or a control character")])
def test_a_file_of_plain_keys_that_is_wrong_is_refused_at_the_start(file: Path, text: str, words: str) -> None:
    file.write_text(text)
    with pytest.raises(SettingsError, match=f"PHEYE_API_KEYS_FILE: .*{words}"):
        load_settings(api_keys_file=str(file))


def test_a_service_with_keys_is_never_opened_by_what_is_read(file: Path) -> None:
    door = Door(keys_file=str(file))
    with pytest.raises(ValueError, match="no key left"):
        door.keys.replace({})


def test_while_the_files_cannot_be_looked_at_the_metric_says_so_and_a_removed_key_is_refused_afterwards(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as the system gives no thread, be it for the look or for the reading that follows."""
    monkeypatch.setattr(upkeep, "FIRST_PAUSE_S", 0.005)
    monkeypatch.setattr(upkeep, "LONGEST_PAUSE_S", 0.005)
    in_thread, out_of = asyncio.to_thread, {"_content", "accepted_keys"}

    async def to_thread(work: Callable[..., Any], *args: Any) -> Any:
        if work.__name__ in out_of:
            raise RuntimeError("can't start new thread")
        return await in_thread(work, *args)

    async def scenario() -> None:
        door = Door(keys_file=str(file))
        watching = asyncio.create_task(upkeep.keep_up("keys", lambda: door.reload.watch(door.keys.replace)))
        await until(lambda: not door.valid)
        rename(file)
        out_of.remove("_content")
        await asyncio.sleep(0.1)
        assert not door.valid
        assert door.opens("nightly")
        out_of.clear()
        await until(lambda: door.valid)
        assert [door.opens(key) for key in ("web", "nightly", "new")] == [True, False, True]
        watching.cancel()

    monkeypatch.setattr(asyncio, "to_thread", to_thread)
    asyncio.run(scenario())


def test_a_look_that_succeeds_makes_no_file_right_that_was_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door(keys_file=str(file))
    file.write_text("")

    async def scenario() -> None:
        for _ in range(3):
            await door.reload._look(door.keys.replace)
            assert not door.valid

    asyncio.run(scenario())


def test_a_file_that_could_not_be_read_for_a_moment_is_read_again_though_it_stays_the_same_and_told_once(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    door = Door(keys_file=str(file))
    rename(file)

    async def scenario() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(key_files, "Path", Mock(side_effect=OSError(24, "Too many open files")))
            for _ in range(3):
                await door.reload._look(door.keys.replace)
        assert not door.valid
        await door.reload._look(door.keys.replace)
        assert door.valid
        assert [door.opens(key) for key in ("nightly", "new")] == [False, True]

    asyncio.run(scenario())
    assert caplog.text.count("Too many open files") == 1
