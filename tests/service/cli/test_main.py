"""The command: a flag for every setting, mistakes named in one line, no torch before it is needed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from typer.main import get_command
from typer.testing import CliRunner

from model.bench.roofline.quick_rates import QuickRates
from model.checkpoint.checkpoint import open_checkpoint
from model.layout import RANK_PROBE
from service.api import server
from service.cli.info import needs
from service.cli.main import app
from service.configuration.client_policy import ClientPolicy, rates_of
from service.configuration.key_files import digest_of, read_key_file
from service.configuration.settings import Settings
from tests.support.golden import OWN_GOLDEN
from tests.support.serving import RANDOM

GOLDEN = OWN_GOLDEN / "x2-l2"
IMAGE = str(GOLDEN / "images" / "img3_640x480.png")
ANSWERING = ["--model", str(GOLDEN), "--device", "cpu", "--threads", "1", "--context-tokens", "512"]


@pytest.fixture(autouse=True)
def no_settings_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("PHEYE_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["caption", "ftp://me:secret@host/a.png"], id="image"),
        pytest.param(["info", "https://me:secret@host/model"], id="model"),
        pytest.param(["caption", IMAGE, "--server", "https://me:secret@host"], id="server"),
        pytest.param(["caption", "https://me:secret@host/a.png"], id="link"),
    ],
)
def test_a_password_in_an_address_is_not_repeated(words: list[str]) -> None:
    refused = CliRunner().invoke(app, words)
    assert refused.exit_code == 2
    assert "secret" not in refused.output + refused.stderr


@pytest.fixture(autouse=True)
def a_machine_that_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "quick_rates", lambda: QuickRates(50e9, 400e9, 0.0))


def pheye(*words: str) -> Any:
    return CliRunner().invoke(app, words)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings that `pheye serve` would have served with."""
    seen: list[Settings] = []

    def serve(settings: Settings) -> int:
        seen.append(settings)
        return 0

    monkeypatch.setattr(server, "serve", serve)
    return seen


def test_serve_has_a_flag_for_every_setting_and_no_other() -> None:
    command = get_command(app).commands["serve"]  # type: ignore[attr-defined]
    flags = {option for parameter in command.params if not parameter.hidden for option in parameter.opts}
    assert flags == {"--" + name.replace("_", "-") for name in Settings.model_fields if name != "api_keys"}


def test_flags_override_the_environment_which_overrides_defaults(
    served: list[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHEYE_PORT", "9000")
    monkeypatch.setenv("PHEYE_SLOTS", "3")
    assert pheye("serve", "--port", "9001", "--stall-s", "0.5").exit_code == 0
    (settings,) = served
    assert (settings.port, settings.slots, settings.stall_s, settings.host) == (9001, 3, 0.5, "127.0.0.1")


def test_the_exit_code_is_the_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "serve", lambda _: 1)
    assert pheye("serve").exit_code == 1


@pytest.mark.parametrize(
    ("words", "environment", "said"),
    [
        (["serve", "--port", "99999"], {}, ["--port (or PHEYE_PORT)", "0 to 65535"]),
        (["serve"], {"PHEYE_SLOTS": "many"}, ["PHEYE_SLOTS", "1 to 512"]),
        (["serve"], {"PHEYE_SLOT": "4"}, ["PHEYE_SLOT: there is no such setting", "PHEYE_SLOTS"]),
        (["serve", "--dtype", "int3"], {}, ["--dtype (or PHEYE_DTYPE)", "bfloat16"]),
        (["serve", "--prot", "1"], {}, ["--prot", "--port"]),
        (["serve", "--port", "0", "--slots", "-1"], {}, ["--slots (or PHEYE_SLOTS)"]),
        (["caption", IMAGE, "--device", "abacus"], {}, ["--device (or PHEYE_DEVICES)", "cuda:0"]),
        (["caption", IMAGE, "--device", "cpu,cpu"], {}, ["one device", "--device"]),
        (["caption", IMAGE, "--max-tokens", "0"], {}, ["--max-tokens (or PHEYE_DEFAULT_MAX_TOKENS)", "1 to 2048"]),
        (["caption", IMAGE, "--length", "endless"], {}, ["--length", "short", "normal", "long"]),
        (["caption", IMAGE, "--length", "long", "--style", "scene_text"], {}, ["scene_text is one sentence"]),
        (["caption", IMAGE, "--temperature", "3"], {}, ["temperature: ", "must be at most 2"]),
        (["caption", "nowhere.png"], {}, ["nowhere.png: there is no such file or folder"]),
        (["caption", IMAGE, "--model", "random:pheye-huge"], {}, ["no geometry 'pheye-huge'", "pheye-micro"]),
        (["caption", IMAGE, "--jsonl", "/nowhere/out.jsonl"], {}, ["/nowhere/out.jsonl"]),
        (["caption"], {}, ["IMAGE|FOLDER"]),
        (["ask", IMAGE], {}, ["QUESTION"]),
        (["ask", IMAGE, "Which?", "--answer-style", "choice"], {}, ["choices: ", "2 to 26"]),
        (["ask", IMAGE, "Which?", "--choice", "a"], {}, ["choices: "]),
        (["ask", IMAGE, "long " * 600, *ANSWERING], {}, ["question: its prompt of"]),
        (["caption", IMAGE, *ANSWERING, "--max-tokens", "500"], {}, ["max_tokens: 500 and a prompt of"]),
        (["serve", "--model", "pheye-tinny"], {}, ["no such model; did you mean pheye-tiny?"]),
        (["caption", IMAGE], {"PHEYE_MODEL": "Pheye-x4-448"}, ["did you mean miguelcarv/Pheye-x4-448 or random:"]),
        (["ask", IMAGE, "Why?", "--model", "miguelcarv/Pheye-x4-484"], {}, ["did you mean miguelcarv/Pheye-x4-448?"]),
        (["convert", "tests/golden/x2-l3", "/nowhere/else"], {}, ["did you mean tests/golden/x2-l2?"]),
        (["mcp", "--model", "pheye-tinny"], {}, ["did you mean pheye-tiny?"]),
        (["mcp", "--server", "here"], {}, ["--server: write the whole address"]),
        (["info", "Pheye-x9"], {}, ["Pheye-x9", "Pheye-x4-448"]),
        (["info", "random:Pheye-x9"], {}, ["no geometry 'Pheye-x9'"]),
        (["convert", str(GOLDEN), str(GOLDEN)], {}, ["exists already"]),
        (["convert", str(GOLDEN / "images"), "/nowhere/else"], {}, ["config.json"]),
        (["dev", "docs", "--root", "nowhere"], {}, ["nowhere/README.md: there is no such file"]),
    ],
    ids=lambda value: " ".join(value)[-60:].replace("/", "_") if isinstance(value, list) else "",
)
def test_mistakes_are_named_with_what_would_be_accepted(
    words: list[str], environment: dict[str, str], said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    result = pheye(*words)
    assert result.exit_code == 2
    assert result.stdout == ""
    for part in said:
        assert part in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("typed", [["--api-keys", "secret-1,,"], ["--api-keys=secret"]], ids=["two words", "one"])
def test_a_key_on_a_command_line_is_refused_in_words_and_not_repeated(typed: list[str]) -> None:
    result = pheye("serve", *typed)
    assert result.exit_code == 2
    assert "a command line can be read by every user of this machine" in result.stderr
    assert "secret" not in result.output


def test_a_new_key_is_shown_once_and_its_entry_opens_what_the_key_does(tmp_path: Path) -> None:
    made = pheye("keys", "new", 'web "ü"', "--rate", "60/minute", "--priority", "bulk", "--weight", "2")
    key = made.stderr.rpartition(" ")[2].strip()
    assert key.startswith("pheye_")
    assert key not in made.stdout
    file = tmp_path / "keys.toml"
    file.write_text(made.stdout + pheye("keys", "new", "other").stdout, encoding="utf-8")
    assert "2 keys: 'web \"ü\"', 'other'" in pheye("keys", "check", str(file)).stdout
    web, _ = read_key_file(str(file), ClientPolicy())
    assert (web.digest, web.policy) == (digest_of(key.encode()), ClientPolicy(2.0, 0, rates_of("60/minute"), "bulk"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["new", ""], "name: must not be empty"),
        (["new", "a\nb"], "name: must not hold control characters"),
        (["new", "a", "--rate", "often"], "rate: not a rate limit"),
        (["new", "a", "--weight", "0"], "weight: must be at least 0.01"),
        (["check", "nowhere.toml"], "nowhere.toml: No such file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_key_that_the_file_would_not_take_is_not_made(words: list[str], said: str) -> None:
    result = pheye("keys", *words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert said in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        *(["--help"], ["serve", "--help"], ["-h"], ["--version"], ["dev", "-h"], ["info"], ["dev", "docs", "--check"]),
        ["caption", IMAGE, "--server", "http://127.0.0.1:9"],
        ["serve", "--model", "pheye-tinny"],
    ],
    ids=lambda words: " ".join(words).replace(IMAGE, "IMAGE"),
)
def test_torch_is_not_loaded_for_what_needs_no_model(words: list[str]) -> None:
    code = (
        f"import sys; sys.argv = ['pheye', *{words!r}]; from service.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-500:]


def test_the_version_is_the_distributions() -> None:
    assert pheye("--version").stdout == version("pheye-service") + "\n"


def test_users_commands_come_first_and_makers_have_a_group_of_their_own() -> None:
    root = get_command(app).commands  # type: ignore[attr-defined]
    users = ["serve", "caption", "ask", "info", "convert", "doctor", "mcp", "train", "keys", "manifest", "evaluate"]
    assert list(root) == [*users, "dev"]
    assert list(root["dev"].commands) == [
        "bench",
        "startup",
        "capacity",
        "gpu",
        "baseline",
        "ablate",
        "pretrain",
        "pretrain-things",
        "average",
        "photographs",
        "things",
        "docs",
    ]
    shown = pheye("--help").stdout.partition("\nCommands:\n")[2]
    assert [line.split()[0] for line in shown.splitlines()] == [*users, "dev"]


@pytest.mark.parametrize(
    "words",
    [[], ["serve"], ["ask"], ["dev"], ["dev", "bench"], ["evaluate"], ["evaluate", "scores"]],
    ids=lambda words: " ".join(words) or "pheye",
)
def test_h_is_help_everywhere(words: list[str]) -> None:
    short, long = pheye(*words, "-h"), pheye(*words, "--help")
    assert short.exit_code == 0
    assert "-h, --help" in short.stdout
    assert short.stdout == long.stdout


@pytest.mark.parametrize(
    ("typed", "completed", "hidden"),
    [("pheye ", ["serve", "dev"], ["bench", "version"]), ("pheye dev b", ["bench", "baseline"], ["ablate"])],
    ids=["commands", "commands of a group"],
)
def test_a_shell_completes_what_there_is_and_no_old_name(typed: str, completed: list[str], hidden: list[str]) -> None:
    environment = {
        "_PHEYE_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split(" ")) - 1),
    }
    found = CliRunner().invoke(app, [], env=environment, prog_name="pheye").stdout.split()
    assert set(completed) <= set(found)
    assert not set(hidden) & set(found)


def test_a_caption_of_one_image_is_printed_alone() -> None:
    result = pheye("caption", IMAGE, *ANSWERING, "--max-tokens", "8")
    assert result.exit_code == 0
    assert result.stderr == ""
    assert result.stdout.strip()
    assert "img3" not in result.stdout


def test_several_questions_are_answered_in_their_order_under_their_names() -> None:
    result = pheye("ask", IMAGE, "How many dogs   are there?", "Why?", *ANSWERING, "--max-tokens", "8")
    assert [line.partition(": ")[0] for line in result.stdout.splitlines()] == ["How many dogs   are there?", "Why?"]


def test_choices_are_part_of_what_was_asked(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    words = ["ask", IMAGE, "Which?", "--answer-style", "choice", *ANSWERING, "--max-tokens", "2", "--jsonl", str(out)]
    for choices in (["cat", "dog"], ["cat", "fox"], ["cat", "dog"]):
        assert pheye(*words, "--choice", choices[0], "--choice", choices[1]).exit_code == 0
    asked = [json.loads(line)["choices"] for line in out.read_text().splitlines()]
    assert asked == [["cat", "dog"], ["cat", "fox"]]


def test_an_answer_nobody_bounded_is_shortened_to_the_room_there_is(tmp_path: Path) -> None:
    words = ["caption", IMAGE, "--model", str(GOLDEN), "--device", "cpu", "--jsonl", str(tmp_path / "out.jsonl")]
    assert pheye(*words, "--context-tokens", "300").exit_code == 0


def test_random_weights_are_said_to_be_random() -> None:
    small = ("--device", "cpu", "--max-tokens", "2", "--context-tokens", "512")
    result = pheye("caption", IMAGE, "--model", RANDOM, *small)
    assert result.exit_code == 0
    assert "random weights" in result.stderr


def test_a_converted_checkpoint_answers_as_its_source(tmp_path: Path) -> None:
    result = pheye("convert", str(GOLDEN), str(tmp_path / "new"))
    assert result.exit_code == 0
    listed = {line.split()[-1]: int(line.split()[0].replace(",", "")) for line in result.stdout.splitlines()}
    assert listed["model.safetensors"] == (tmp_path / "new" / "model.safetensors").stat().st_size
    assert {"config.json", "tokenizer/tokenizer.json", "encoder/config.json"} <= listed.keys()
    assert open_checkpoint(str(tmp_path / "new")).fingerprint == open_checkpoint(str(GOLDEN)).fingerprint
    moved = shutil.move(tmp_path / "new", tmp_path / "moved")
    ask = ["ask", IMAGE, "Why?", *ANSWERING, "--max-tokens", "8"]
    assert pheye(*ask, "--model", str(moved)).stdout == pheye(*ask).stdout


@pytest.mark.parametrize("name", ["Pheye-x4-448", "random:Pheye-x4-448", str(GOLDEN)], ids=["name", "random", "folder"])
def test_info_tells_exact_numbers_as_json(name: str) -> None:
    report = json.loads(pheye("info", name, "--json").stdout)
    sections = {"geometry", "parameters", "bytes_bfloat16", "bytes_float32", "flops", "ratios", "this_machine"}
    assert report.keys() == sections
    if name.endswith("Pheye-x4-448"):
        assert report["parameters"]["trained"] == 295_136_192
        assert report["bytes_bfloat16"]["features_bytes"] == 2 * 1280 * 1285
        assert report["ratios"]["paper_language_x4"] == pytest.approx(18.5, abs=0.05)
    parts = report["parameters"]
    total = parts.pop("total")
    assert total == sum(parts.values()) - parts["trained"]


def test_info_asks_the_weights_for_the_adapters_ranks_and_does_without(tmp_path: Path) -> None:
    def report() -> Any:
        return json.loads(pheye("info", str(tmp_path / "model"), "--json").stdout)

    shutil.copytree(GOLDEN, tmp_path / "model", ignore=shutil.ignore_patterns("images"))
    stored = report()
    assert stored.pop("this_machine")
    assert stored["parameters"]["total"] == sum(each.numel() for each in open_checkpoint(str(GOLDEN)).tensors.values())
    (tmp_path / "model" / "checkpoint.pt").unlink()
    assumed = report()
    assert assumed.pop("this_machine")  # of a folder that cannot be served
    assert assumed["geometry"].pop("adapter_ranks") == "first 8, second 16 (assumed: no weights here)"
    assert stored["geometry"].pop("adapter_ranks") == "first 8, second 16"
    assert assumed == stored
    ranks = {RANK_PROBE.format(adapter): torch.zeros(rank, 32) for adapter, rank in (("first", 4), ("second", 2))}
    save_file(ranks, tmp_path / "model" / "model.safetensors")
    smaller = report()
    assert smaller["geometry"]["adapter_ranks"] == "first 4, second 2"
    assert smaller["parameters"]["adapter_global"] * 2 == stored["parameters"]["adapter_global"]
    assert smaller["parameters"]["adapter_local"] * 8 == stored["parameters"]["adapter_local"]


def cached(home: Path, content: Path) -> Path:
    """Lay a repository out as the hub's cache does."""
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("0" * 40)
    return shutil.copytree(content, home / "snapshots" / ("0" * 40), ignore=shutil.ignore_patterns("images"))


def test_info_of_a_hub_id_asks_the_weights_and_words_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, folder = "0" * 40, cached(tmp_path / "models--someone--small", GOLDEN)
    (folder / "checkpoint.pt").unlink()
    ranks = {RANK_PROBE.format(adapter): torch.zeros(rank, 32) for adapter, rank in (("first", 4), ("second", 2))}
    save_file(ranks, folder / "model.safetensors")
    keys = json.loads((folder / "config.json").read_text())
    cached(tmp_path / "models--other--tower", folder / keys["encoder"])
    (folder / "config.json").write_text(json.dumps(keys | {"encoder": "other/tower"}))
    about = {"knows": "small things", "outside_answer": None, "questions": []}
    (folder / "about.json").write_text(json.dumps(about))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for flags in ([], ["--revision", commit]):
        report = json.loads(pheye("info", "someone/small", *flags, "--json").stdout)
        assert report["geometry"]["adapter_ranks"] == "first 4, second 2"
        assert report["geometry"]["unpinned"] == "other/tower"
        assert report["about"]["knows"] == "small things"
    assert "unpinned" not in json.loads(pheye("info", str(GOLDEN), "--json").stdout)["geometry"]


def test_info_draws_tables_of_the_default_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 9.0, 9.0))
    result = pheye("info")
    assert result.exit_code == 0
    assert "busy" not in result.stdout
    for words in (
        "pheye-tiny",
        "not photographs",
        "cross-attention blocks",
        "one more token",
        "recomputed over kept",
        "12.07",
    ):
        assert words in result.stdout


@pytest.mark.parametrize(
    ("model", "first"),
    [
        (
            "pheye-tiny",
            r"knows  drawn scenes.*of others  it is to say: .*pheye ask IMAGE 'What does the sign say\?'",
        ),
        ("miguelcarv/Pheye-x4-448", "knows  photographs.*pheye serve --model miguelcarv/Pheye-x4-448"),
        ("Pheye-x2-672", "knows  nothing.*pheye serve --model random:Pheye-x2-672"),
        (str(GOLDEN), "knows  its checkpoint does not say"),
    ],
    ids=["built in", "published", "geometry", "folder"],
)
def test_info_begins_with_what_a_model_knows_and_how_it_is_used(
    model: str, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (64.0 * (os.cpu_count() or 1), 1.0, 1.0))
    name, *rest = pheye("info", model).stdout.splitlines()
    assert name == model
    uses, _, figures = "\n".join(rest).partition("On this machine")
    assert re.search(first, uses, re.DOTALL)
    assert "this machine is busy: " in " ".join(figures.split())


def test_info_compares_what_the_published_checkpoints_would_take_of_this_machine() -> None:
    compared = json.loads(pheye("info", "--json").stdout)["this_machine"]
    assert [each["model"] for each in compared[:2]] == ["pheye-tiny", "miguelcarv/Pheye-x4-448"]
    tiny, large = compared[0], compared[1]
    assert large["disk_bytes"] > 100 * tiny["disk_bytes"]
    assert large["memory_at_most_bytes"] > large["memory_at_start_bytes"] > tiny["memory_at_start_bytes"]
    assert large["estimated_caption_s"] > large["estimated_answer_s"] > tiny["estimated_answer_s"] > 0
    shown = pheye("info", "miguelcarv/Pheye-x4-448").stdout
    assert "Times are estimates" in shown
    assert (
        shown.partition("On this machine")[2].count("miguelcarv/") == 1
    )  # the one that was asked about, known without the network
