"""What can be typed, and what is said about what cannot."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from loadtest import storm
from loadtest.loops import ClosedLoop, OpenLoop
from loadtest.options import loads_of, parse
from loadtest.screenshots import __main__ as screenshots
from loadtest.servers import Server

PHEYE, OTHER = "--server=pheye=http://127.0.0.1:8000/", "--server=other=https://there"


def test_one_load_is_closed_unless_a_rate_is_asked_for() -> None:
    (closed,) = loads_of(parse(["run", PHEYE, "--clients", "3", "--requests", "20"]))
    (opened,) = loads_of(parse(["run", PHEYE, "--rate", "2.5", "--requests", "20"]))
    assert (closed.loop, closed.requests) == (ClosedLoop(3), 20)
    assert (opened.loop, opened.requests) == (OpenLoop(2.5), 20)


def test_servers_have_names_and_addresses() -> None:
    assert parse(["run", PHEYE, OTHER, "--server", "http://127.0.0.1:8000/?a=b"]).server == [
        Server("pheye", "http://127.0.0.1:8000"),
        Server("other", "https://there"),
        Server("127.0.0.1:8000", "http://127.0.0.1:8000/?a=b"),
    ]


def test_a_password_in_an_address_is_in_no_name_and_shown_nowhere(capsys: pytest.CaptureFixture[str]) -> None:
    [server] = parse(["run", "--server", "http://me:secret@there:8000/eye?key=secret"]).server
    assert (server.name, server.url) == ("there:8000", "http://me:secret@there:8000/eye?key=secret")
    assert server.shown_url == "http://there:8000/eye"
    assert "secret" not in repr(server)
    with pytest.raises(SystemExit):
        parse(["run", "--server", "ftp://me:secret@there"])
    assert "secret" not in capsys.readouterr().err


def test_every_word_about_the_mix_reaches_it() -> None:
    words = "--captions 0.1 --questions 3 --hits 0.2 --hot-images 5 --stream --max-tokens 9 --format PNG --size 30x20"
    (load,) = loads_of(parse(["run", PHEYE, *words.split(), "--warm-up", "2", "--timeout", "7"]))
    mix = load.mix
    assert (mix.captions, mix.questions, mix.hits, mix.hot_images) == (0.1, 3, 0.2, 5)
    assert (mix.stream, mix.max_tokens, mix.form, mix.width_px, mix.height_px) == (True, 9, "PNG", 30, 20)
    assert (load.warm_up, load.timeout_s) == (2, 7.0)


@pytest.mark.parametrize("command", [["sweep", PHEYE], ["compare", PHEYE, OTHER]], ids=["sweep", "compare"])
def test_a_grid_has_every_number_of_clients_at_every_share_of_hits(command: list[str]) -> None:
    loads = loads_of(parse([*command, "--clients", "1,4", "--hits", "0,0.5", "--requests", "10", "--per-client", "5"]))
    found = [(load.loop.pressure, load.mix.hits, load.requests) for load in loads]
    assert found == [(1, 0.0, 10), (4, 0.0, 20), (1, 0.5, 10), (4, 0.5, 20)]


def test_comparisons_and_sweeps_have_the_clients_of_the_report_by_default() -> None:
    compared = parse(["compare", PHEYE, OTHER])
    swept = parse(["sweep", PHEYE])
    assert compared.clients == swept.clients == [1, 2, 4, 8, 16, 32, 64]
    assert (compared.hits, compared.repeats, swept.hits, swept.repeats) == ([0.0], 3, [0.0, 0.5, 0.9], 1)


def test_the_search_for_capacity_begins_at_a_rate() -> None:
    (load,) = loads_of(parse(["capacity", PHEYE, "--target", "2", "--rate", "4", "--hits", "0.5"]))
    assert (load.loop, load.mix.hits) == (OpenLoop(4.0), 0.5)


def test_a_seed_is_new_unless_it_is_given() -> None:
    assert parse(["run", PHEYE, "--seed", "3"]).seed == 3
    assert len({parse(["run", PHEYE]).seed for _ in range(5)}) > 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "COMMAND"),
        (["fly"], "'fly'"),
        (["run"], "--server"),
        (["run", "--server", "127.0.0.1:8000"], "NAME=URL"),
        (["run", "--server", "http://"], "NAME=URL"),
        (["run", "--server", "a=127.0.0.1:8000"], "NAME=URL"),
        (["run", "--server", "a=ftp://127.0.0.1"], "NAME=URL"),
        (["run", "--server", "http://xn--a"], "NAME=URL"),
        (["run", "--server", "http://[::1"], "NAME=URL"),
        (["run", PHEYE, PHEYE], "two servers have the same name"),
        (["compare", PHEYE], "two or more"),
        (["run", PHEYE, "--clients", "0"], "'--clients': '0' is not a whole number from 1 up"),
        (["run", PHEYE, "--clients", "many"], "'--clients': 'many' is not a whole number"),
        (["run", PHEYE, "--clients", "2", "--rate", "1"], "not allowed with"),
        (["run", PHEYE, "--rate", "0"], "'--rate': '0' is not above 0"),
        (["run", PHEYE, "--rate", "inf"], "'--rate': 'inf'"),
        (["run", PHEYE, "--rate", "fast"], "'--rate': 'fast' is not a number"),
        (["run", PHEYE, "--captions", "2"], "'--captions': '2' is not a share from 0 to 1"),
        (["run", PHEYE, "--hits", "nan"], "'--hits': 'nan' is not a share"),
        (["run", PHEYE, "--size", "640"], "'--size': '' is not a whole number"),
        (["run", PHEYE, "--format", "GIF"], "--format"),
        (["sweep", PHEYE, "--clients", "1,,2"], "'--clients': '' is not"),
        (["sweep", PHEYE, "--hits", "0;1"], "'--hits': '0;1' is not a number"),
        (["sweep", PHEYE, "--repeats", "0"], "'--repeats': '0'"),
        (["capacity", PHEYE], "--target"),
        (["capacity", PHEYE, "--target", "2", "--percentile", "p75"], "--percentile"),
        (
            ["capacity", PHEYE, "--target", "2", "--rate", "20000"],
            "'--rate': '20000' is not a number from 0.01 to 10000",
        ),
        (
            ["capacity", PHEYE, "--target", "2", "--precision", "1e-17"],
            "'--precision': '1e-17' is not a number from 0.001",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_end_with_exit_code_2_and_are_named(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("main", [storm.main, screenshots.main], ids=["storm", "screenshots"])
@pytest.mark.parametrize(
    "address", ["http://[::1", "http://xn--a", "127.0.0.1:8000"], ids=["half of one", "no name of a host", "no scheme"]
)
def test_an_address_that_is_none_is_refused_where_no_server_has_a_name(
    main: Callable[[], int], address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["loadtest", address, __file__])
    if main is screenshots.main:
        sys.argv.pop()
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert f"{address!r} is not a URL, as in http://127.0.0.1:8000" in capsys.readouterr().err
