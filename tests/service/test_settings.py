"""Settings: bounds, the environment, and refusals that name what is wrong."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from service.setting_rows import setting_rows
from service.settings import RENAMED_SETTINGS, Settings, SettingsError, load_settings


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    for row in setting_rows():
        monkeypatch.delenv(row.variable, raising=False)


def test_the_environment_is_read_and_flags_win_over_it(monkeypatch):
    monkeypatch.setenv("PHEYE_SLOTS", "3")
    monkeypatch.setenv("PHEYE_PORT", "9000")
    settings = load_settings(port=9001)
    assert (settings.slots, settings.port) == (3, 9001)


@pytest.mark.parametrize(
    ("variable", "closest"),
    [("PHEYE_SLOT", "PHEYE_SLOTS"), ("PHEYE_MAX_WAIT", "PHEYE_MAX_WAITING"), ("pheye_devcie", "PHEYE_DEVICES")],
)
def test_an_unknown_variable_is_refused_with_the_closest_known_one(monkeypatch, variable, closest):
    monkeypatch.setenv(variable, "1")
    with pytest.raises(SettingsError, match=rf"{variable}: there is no such setting; the closest is {closest}"):
        load_settings()


def test_what_kubernetes_puts_into_the_environment_is_explained(monkeypatch):
    monkeypatch.setenv("PHEYE_SERVICE_HOST", "10.0.0.1")
    with pytest.raises(SettingsError, match="enableServiceLinks"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "65536"),
        ("port", "tcp://10.0.0.1:8000"),
        ("slots", "-1"),
        ("gpu_memory_share", "0"),
        ("gpu_memory_share", "1.1"),
        ("dtype", "int4"),
        ("devices", "gpu"),
        ("devices", "auto,cpu"),
        ("devices", ""),
        ("deadline_s", "0"),
        ("deadline_s", "nan"),
        ("stall_s", "inf"),
        ("log_level", "loud"),
        ("model", ""),
    ],
    ids=lambda value: value or "empty",
)
def test_a_value_out_of_range_is_refused_by_its_variable_and_not_repeated(monkeypatch, name, value):
    monkeypatch.setenv(f"PHEYE_{name.upper()}", value)
    with pytest.raises(SettingsError, match=f"^PHEYE_{name.upper()}: "):
        load_settings()


def test_every_wrong_setting_is_named_at_once():
    with pytest.raises(SettingsError) as caught:
        load_settings(port=-1, slots=-1)
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == ["PHEYE_PORT", "PHEYE_SLOTS"]


def test_a_default_answer_that_leaves_no_room_for_a_prompt_is_refused():
    with pytest.raises(
        SettingsError, match=r"PHEYE_DEFAULT_MAX_TOKENS: 256 leaves no room .* PHEYE_CONTEXT_TOKENS, 128"
    ):
        load_settings(context_tokens=128)


@pytest.mark.parametrize(
    ("text", "keys"), [("", []), ("one", ["one"]), (" one , two ,", ["one", "two"])], ids=["none", "one", "two"]
)
def test_api_keys_are_separated_by_commas(monkeypatch, text, keys):
    monkeypatch.setenv("PHEYE_API_KEYS", text)
    assert [key.get_secret_value() for key in load_settings().api_keys] == keys


def test_text_without_a_key_is_refused_instead_of_opening_the_service(monkeypatch):
    monkeypatch.setenv("PHEYE_API_KEYS", " , ")
    with pytest.raises(SettingsError, match=r"PHEYE_API_KEYS.*no key in it"):
        load_settings()


def test_an_api_key_is_never_shown():
    settings = load_settings(api_keys="hunter2")
    assert "hunter2" not in repr(settings) + str(settings) + settings.model_dump_json()


def test_settings_cannot_be_changed_after_the_start():
    with pytest.raises(ValidationError):
        load_settings().port = 1


def test_devices_may_be_written_with_spaces():
    assert load_settings(devices="cpu, cuda:0").devices == "cpu,cuda:0"


def test_the_table_has_a_described_row_for_every_setting():
    rows = list(setting_rows())
    assert [row.variable for row in rows] == [f"PHEYE_{name.upper()}" for name in Settings.model_fields]
    assert all(row.description.endswith(".") and row.flag.startswith("--") for row in rows)


def test_every_renamed_setting_is_one_that_is_there_and_its_old_name_is_free():
    assert set(RENAMED_SETTINGS.values()) <= Settings.model_fields.keys()
    assert not RENAMED_SETTINGS.keys() & Settings.model_fields.keys()


def test_an_old_variable_is_read_unless_the_new_one_is_set(monkeypatch):
    monkeypatch.setitem(RENAMED_SETTINGS, "keys", "api_keys")
    monkeypatch.setenv("PHEYE_KEYS", "one,two")
    assert [key.get_secret_value() for key in load_settings().api_keys] == ["one", "two"]
    monkeypatch.setenv("PHEYE_API_KEYS", "three")
    assert [key.get_secret_value() for key in load_settings().api_keys] == ["three"]
