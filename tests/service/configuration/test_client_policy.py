"""The file of API keys: what it may say, and that a mistake is named by its place and never by the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.configuration.client_policy import ClientPolicy, rates_of
from service.configuration.key_files import digest_of, read_key_file
from service.configuration.settings import Settings, SettingsError, accepted_keys, load_settings

GOOD = f"""
[[key]]
name = "web"
key = "web-secret"
group = "acme"
weight = 2.5
max_concurrent = 16
rate = "60/minute"

[[key]]
name = "nightly"
sha256 = "{digest_of(b"nightly-secret").upper()}"
group = "acme"
priority = "bulk"
"""


def file_of(folder: Path, text: str) -> str:
    file = folder / "keys.toml"
    file.write_text(text, encoding="utf-8")
    return str(file)


def test_a_key_has_what_its_entry_says_and_the_default_for_the_rest(tmp_path: Path) -> None:
    settings = Settings(keys_file=file_of(tmp_path, GOOD), client_concurrency=3, client_rate="5/second")
    web, nightly = accepted_keys(settings).values()
    assert (web.name, web.group, web.digest) == ("web", "acme", digest_of(b"web-secret"))
    assert web.policy == ClientPolicy(2.5, 16, rates_of("60/minute"))
    assert (nightly.name, nightly.group, nightly.digest) == ("nightly", "acme", digest_of(b"nightly-secret"))
    assert nightly.policy == ClientPolicy(1.0, 3, rates_of("5/second"), "bulk")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[key]]\nname = ", "not TOML: Invalid value (at end of document"),
        ("", "there is no [[key]] in it"),
        ("key = 3", "there is no [[key]] in it"),
        ("key = [3]", "key 1: must be a table"),
        ("[[keys]]\nname = 'a'", "keys: unknown; the file holds [[key]] tables"),
        ("[[key]]\nkey = 'secret'", "key 1: name: is missing"),
        ("[[key]]\nname = 'a'", "key 1 (a): key: give exactly one of key and sha256"),
        (f"[[key]]\nname = 'a'\nkey = 'secret'\nsha256 = '{'0' * 64}'", "give exactly one"),
        ("[[key]]\nname = 'a'\nsha256 = 'secret'", "key 1 (a): sha256: must be 64 hexadecimal digits"),
        ("[[key]]\nname = 'a'\nkey = ''", "key 1 (a): key: "),
        ("[[key]]\nname = ''\nkey = 'secret'", "key 1: name: must not be empty"),
        ("[[key]]\nname = '  '\nkey = 'secret'", "key 1: name: must not be empty"),
        ("[[key]]\nname = 'a '\nkey = 'secret'", "key 1: name: must not begin or end with a space"),
        ('[[key]]\nname = "a\\nb"\nkey = "secret"', "key 1: name: must not hold control characters"),
        ('[[key]]\nname = "a\\u001b[2J"\nkey = "secret"', "key 1: name: must not hold control characters"),
        ('[[key]]\nname = "a\\u202e"\nkey = "secret"', "key 1: name: must not hold control characters"),
        ("[[key]]\nname = '" + "a" * 65 + "'\nkey = 'secret'", "key 1: name: must have at most 64 characters"),
        ('[[key]]\nname = "a"\nkey = "secret"\ngroup = "x\\ty"', "key 1 (a): group: must not hold control characters"),
        ("[[key]]\nname = 'a'\nkey = 'secret'\ngroup = ''", "key 1 (a): group: must not be empty"),
        ("key = " + "[" * 100_000, "nested too deeply; the file holds [[key]] tables"),
        ("[[key]]\nname = " + "{a = " * 100_000, "nested too deeply"),
        ("[[key]]\nname = 'a'\nkey = 'secret'\nweight" + ".a" * 2_000 + " = 1", "key 1 (a): weight: must be a number"),
        ("[[key]]\nname = 'a'\nkey = 'secret'\nmax_concurrent = " + "9" * 5_000, "not TOML: "),
        ("[[key]]\nname = 'a'\nkey = 'secret'\nmax_concurrent = " + "9" * 50, "max_concurrent: must be at most 100000"),
        ("[[key]]\nname = 'a'\nkey = 'secret'\nwheight = 2", "key 1 (a): wheight: unknown; known are name, key"),
        ("[[key]]\nname = 'a'\nkey = 'secret'\nweight = 0", "key 1 (a): weight: must be at least 0.01"),
        ("[[key]]\nname = 'a'\nkey = 'secret'\nweight = nan", "key 1 (a): weight: "),
        ("[[key]]\nname = 'a'\nkey = 'secret'\nmax_concurrent = '3'", "key 1 (a): max_concurrent: "),
        ("[[key]]\nname = 'a'\nkey = 'secret'\nrate = 'often'", "key 1 (a): rate: not a rate limit; write 60/minute"),
        ("[[key]]\nname = 'a'\nkey = 'secret'\nrate = '0/minute'", "key 1 (a): rate: not a rate limit"),
        (
            "[[key]]\nname = 'a'\nkey = 'secret'\npriority = 'high'",
            "key 1 (a): priority: must be 'interactive' or 'bulk'",
        ),
        ("[[key]]\nname = 'a'\nkey = 'secret'\n" * 2, "key 2 (a): name: key 1 has the same"),
        (
            "[[key]]\nname = 'a'\nkey = 'secret'\n[[key]]\nname = 'b'\nkey = 'secret'\n",
            "key 2 (b): key: key 1 has the same",
        ),
    ],
)
def test_a_mistake_is_named_by_key_and_field_and_no_key_is_repeated(tmp_path: Path, text: str, words: str) -> None:
    path = file_of(tmp_path, text)
    with pytest.raises(SettingsError) as refused:
        load_settings(keys_file=path)
    assert str(refused.value).startswith(f"PHEYE_KEYS_FILE: {path}: ")
    assert words in str(refused.value)
    assert "'secret" not in str(refused.value)


def test_a_file_that_is_not_there_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"PHEYE_KEYS_FILE: .*No such file"):
        load_settings(keys_file=str(tmp_path / "none.toml"))
    with pytest.raises(ValueError, match="not text in UTF-8"):
        read_key_file(str(_binary(tmp_path)), ClientPolicy())


def _binary(folder: Path) -> Path:
    file = folder / "binary"
    file.write_bytes(b"\xff\xfe")
    return file


@pytest.mark.parametrize("rate", ["often", "60", "-1/minute", "0/second", "1/fortnight", "5/second;0/minute"])
def test_a_client_rate_that_is_none_is_refused(rate: str) -> None:
    with pytest.raises(SettingsError, match="PHEYE_CLIENT_RATE: not a rate limit"):
        load_settings(client_rate=rate)
