"""The image and the compose file, as far as files can show."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from service.api.connections.shutdown.graceful import HARD_EXIT_S
from service.configuration.rows import setting_rows
from service.configuration.settings import PREFIX, RENAMED_SETTINGS

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE_TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load(COMPOSE_TEXT)
SERVICES = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
SETTINGS = {row.variable: row.default for row in setting_rows()}
OLD_VARIABLES = {PREFIX + old.upper() for old in RENAMED_SETTINGS}  # understood in a .env of the last version
IN_THE_IMAGE = {"PHEYE_HOST", "PHEYE_PORT"}  # what a container listens on inside is no choice of .env

each_service = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES.keys())
each_of_ours = pytest.mark.parametrize("service", OURS.values(), ids=OURS.keys())


def instructions(text):
    """Dockerfile instructions of the last stage, as (word, rest)."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    parsed = [tuple(line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]
    last = max(n for n, (word, _) in enumerate(parsed) if word == "FROM")
    return parsed[last:]


FINAL = instructions(DOCKERFILE)


def last(word):
    return [rest for each, rest in FINAL if each == word][-1]


def compose_variables():
    """Variables that the compose file reads, with the default that holds there; None where the service decides."""
    read = dict(re.findall(r"\$\{(\w+):?-([^}]*)\}", COMPOSE_TEXT.replace("PHEYE_DEVICES:-", "-")))
    passed_on = {
        name: None
        for service in SERVICES.values()
        for name, value in service.get("environment", {}).items()
        if value is None
    }
    return passed_on | read


def env_example():
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    pairs = [line[1:].split("=", 1) for line in lines if re.match(r"#[A-Z][A-Z_]*=", line)]
    assert len(dict(pairs)) == len(pairs), "a variable is listed twice"
    return dict(pairs)


def seconds(text):
    return int(re.fullmatch(r"(\d+)s", text)[1])


def test_the_compose_file_follows_the_compose_specification():
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run(
        [*command, ROOT / "docker-compose.yml"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_interpolated_variable_has_a_default():
    assert len(re.findall(r"\$\{", COMPOSE_TEXT)) == len(re.findall(r"\$\{\w+:?-[^}]*\}", COMPOSE_TEXT))


def test_env_example_lists_every_variable_the_compose_file_reads_and_no_other():
    assert env_example().keys() == compose_variables().keys() - OLD_VARIABLES


@pytest.mark.parametrize("name", env_example())
def test_env_example_shows_the_default_that_holds(name):
    default = compose_variables()[name]
    if default is None:
        default = SETTINGS.get(name, "")  # HF_TOKEN and SCRAPE_KEY are others', and empty
    assert env_example()[name] == default


def test_copied_as_it_is_env_example_changes_nothing():
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    assert all(line.startswith("#") or not line for line in lines)


@each_of_ours
def test_compose_passes_on_every_setting_but_the_inner_address(service):
    passed = {name for name in service["environment"] if name.startswith("PHEYE_")}
    assert passed == (SETTINGS.keys() | OLD_VARIABLES) - IN_THE_IMAGE


def test_the_image_sets_only_known_settings():
    assert set(re.findall(r"\bPHEYE_\w+", DOCKERFILE)) <= SETTINGS.keys()


def test_a_drain_ends_before_compose_loses_patience():
    grace = seconds(compose_variables()["STOP_GRACE_PERIOD"])
    assert grace > float(SETTINGS["PHEYE_DRAIN_DELAY_S"]) + float(SETTINGS["PHEYE_DRAIN_GRACE_S"]) + HARD_EXIT_S


@each_of_ours
def test_a_signal_is_heard_even_while_the_service_imports(service):
    assert service["init"] is True


def test_the_gpu_service_refuses_to_start_without_its_gpu():
    gpu = SERVICES["pheye-gpu"]
    assert gpu["environment"]["PHEYE_DEVICES"] == "${PHEYE_DEVICES:-cuda:0}"
    assert gpu["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]
    assert gpu["profiles"] == ["gpu"]


def test_monitoring_does_not_start_the_other_flavour():
    assert "depends_on" not in SERVICES["prometheus"]
    assert SERVICES["grafana"]["depends_on"] == {"prometheus": {"condition": "service_healthy"}}


@each_service
def test_a_service_has_no_rights_it_does_not_need(service):
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@each_service
def test_a_service_is_limited_watched_and_restarted(service):
    assert {"cpus", "memory"} <= service["deploy"]["resources"]["limits"].keys()
    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["restart"] == "unless-stopped"


@each_service
def test_a_service_is_published_on_loopback_unless_asked_otherwise(service):
    assert all(re.match(r"(127\.0\.0\.1|\$\{HTTP_ADDRESS:-127\.0\.0\.1\}):", port) for port in service["ports"])


@each_service
def test_an_image_is_ours_or_pinned_to_a_version(service):
    assert "build" in service or re.search(r":v?\d+\.\d+\.\d+$", service["image"])


@each_service
def test_what_is_mounted_exists(service):
    for volume in service["volumes"]:
        source = volume.split(":")[0]
        assert (ROOT / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]


@each_of_ours
def test_compose_asks_readiness_with_the_probe_by_which_the_image_asks_liveness(service):
    probe = json.loads(last("HEALTHCHECK").split("CMD", 1)[1])
    assert service["healthcheck"]["test"] == ["CMD", *probe[:-1], "/readyz"]
    assert probe[-1] == "/livez"


def test_the_image_runs_as_a_numbered_user_who_is_not_root():
    uid, gid = last("USER").split(":")
    assert int(uid) >= 10000
    assert uid == gid


@pytest.mark.parametrize("word", ["ENTRYPOINT", "CMD"])
def test_the_process_is_started_without_a_shell_so_that_it_gets_the_signal(word):
    assert json.loads(last(word)) == {"ENTRYPOINT": ["pheye"], "CMD": ["serve"]}[word]
    assert last("STOPSIGNAL") == "SIGTERM"


def test_the_image_exposes_the_default_port_on_every_interface():
    assert last("EXPOSE") == SETTINGS["PHEYE_PORT"]
    assert "PHEYE_HOST=0.0.0.0" in last("ENV")


def test_the_hub_cache_is_where_compose_mounts_it():
    assert f"HF_HOME={last('VOLUME')}" in last("ENV")
    assert all(f"hub-cache:{last('VOLUME')}" in service["volumes"] for service in OURS.values())


def test_the_version_label_is_the_version():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert f'org.opencontainers.image.version="{version}"' in last("LABEL")


def test_every_installation_of_dependencies_obeys_the_constraints():
    installs = re.findall(r"pip install (.*)", DOCKERFILE)
    assert all("-c constraints.txt" in each or "--no-deps" in each for each in installs)
    assert len(installs) == 4


def test_all_that_the_image_copies_is_let_in_by_dockerignore():
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    let_in = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {f"!{name}" for line in copied for name in line.split()} == {each for each in let_in if each[0:1] == "!"}


@pytest.mark.parametrize(("workers", "said"), [(1, "no living worker took over"), (2, "")], ids=["one", "two"])
def test_a_trial_with_one_worker_says_that_no_living_one_took_over(workers: int, said: str):
    script = (ROOT / "docker/try.sh").read_text(encoding="utf-8")
    [function] = re.findall(r"^told_if_alone\(\) \{.*?^\}", script, re.MULTILINE | re.DOTALL)
    command = ["bash", "-euc", f"{function}\ntold_if_alone {workers}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert said in done.stdout
    assert bool(done.stdout) == bool(said)
    assert script.count("told_if_alone") == 3, "defined with its comment, and called"
