"""Settings: bounds, the environment, and refusals that name what is wrong."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from service.api.app import ROUTERS
from service.configuration.fields.checks import OWN_PATHS
from service.configuration.rows import setting_rows
from service.configuration.service_links import ignored_links, service_links
from service.configuration.settings import RENAMED_SETTINGS, Settings, SettingsError, load_settings

UNBOUNDED_BELOW = {"keep_alive_s"}


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
    with pytest.raises(SettingsError, match=rf"{variable}: there is no such setting; the closest is {closest}$"):
        load_settings()


@pytest.mark.parametrize("variable", ["PHEYE_X", "PHEYE_", "PHEYE_ON", "PHEYE_XYZZY", "PHEYE_ENVIRONMENT"])
def test_a_variable_that_resembles_no_setting_is_refused_without_a_guess(monkeypatch, variable):
    monkeypatch.setenv(variable, "1")
    with pytest.raises(SettingsError, match=rf"^{variable}: there is no such setting; `pheye serve --help` names them"):
        load_settings()


LINKS = {
    "PHEYE_SERVICE_HOST": "10.0.0.1",
    "PHEYE_SERVICE_PORT": "80",
    "PHEYE_SERVICE_PORT_HTTP": "80",
    "PHEYE_PORT": "tcp://10.0.0.1:80",
    "PHEYE_PORT_80_TCP": "tcp://10.0.0.1:80",
    "PHEYE_PORT_80_TCP_PROTO": "tcp",
    "PHEYE_PORT_80_TCP_PORT": "80",
    "PHEYE_PORT_80_TCP_ADDR": "10.0.0.1",
    "PHEYE_GPU_SERVICE_HOST": "10.0.0.2",
    "PHEYE_GPU_PORT": "tcp://[fd00::1]:80",
    "PHEYE_GPU_PORT_53_UDP_ADDR": "10.0.0.2",
}


def test_what_kubernetes_makes_of_a_service_called_pheye_is_ignored_and_told(monkeypatch):
    for name, value in LINKS.items():
        monkeypatch.setenv(name, value)
    assert load_settings().port == 8000
    assert load_settings(port="9000").port == 9000
    assert service_links() == sorted(LINKS)
    assert ignored_links().endswith("and 8 more; enableServiceLinks: false in the pod keeps them out")
    monkeypatch.setenv("PHEYE_PORT", "9001")  # a pod's own value wins over a link
    assert load_settings().port == 9001
    monkeypatch.setenv("PHEYE_SLOT", "1")
    with pytest.raises(SettingsError, match=r"^PHEYE_SLOT: there is no such setting"):
        load_settings()


def test_a_flag_is_no_service_link():
    with pytest.raises(SettingsError, match=r"^PHEYE_PORT: must be a whole number"):
        load_settings(port="tcp://10.0.0.1:80")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "65536"),
        ("slots", "-1"),
        ("gpu_memory_share", "0"),
        ("gpu_memory_share", "1.1"),
        ("dtype", "int2"),
        ("devices", "gpu"),
        ("devices", "auto,cpu"),
        ("devices", ""),
        ("deadline_s", "0"),
        ("deadline_s", "nan"),
        ("stall_s", "inf"),
        ("log_level", "loud"),
        ("idle_timeout_s", "0.5"),
        ("sse_ping_s", "0.01"),
        ("root_path", "pheye"),
        ("root_path", "/pheye/"),
        ("root_path", "/"),
        ("root_path", "/a/../b"),
        ("root_path", "/a b"),
        ("root_path", "/v1"),
        ("cors_origins", "app.example.org"),
        ("cors_origins", "https://app.example.org/"),
        ("cors_origins", "null"),
        ("cors_origins", "*, https://app.example.org"),
        ("model", ""),
        ("deadline_s", "0.01"),
        ("step_timeout_s", "1e-9"),
        ("head_timeout_s", "0.001"),
        ("body_timeout_s", "0.001"),
        ("decode_timeout_s", "1e-300"),
        ("image_ttl_s", "0.001"),
        ("max_pixels", "1"),
    ],
    ids=lambda value: value or "empty",
)
def test_a_value_out_of_range_is_refused_by_its_variable_and_not_repeated(monkeypatch, name, value):
    monkeypatch.setenv(f"PHEYE_{name.upper()}", value)
    with pytest.raises(SettingsError, match=f"^PHEYE_{name.upper()}: "):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("port", "65536", "must be at most 65535"),
        ("port", "http", "must be a whole number"),
        ("slots", "1.5", "must be a whole number"),
        ("max_connections", "-1", "must be at least 0"),
        ("step_timeout_s", "0.5", "must be at least 2"),
        ("image_ttl_s", "1e9", "must be at most 31536000"),
        ("stall_s", "soon", "must be a number"),
        ("gpu_memory_share", "0", "must be more than 0"),
        ("share_image_features", "perhaps", "must be true or false"),
        ("model", "", "must not be empty"),
        ("log_level", "loud", "must be 'debug', 'info', 'warning' or 'error'"),
        ("trusted_proxies", "proxy", "'proxy' is neither an IP address nor a network such as 10.0.0.0/8"),
        ("trusted_proxies", "10.0.0.1/8", "write 10.0.0.0/8 for the whole network, or 10.0.0.1 for that address alone"),
        ("trusted_proxies", "fd00::1/64", "write fd00::/64 for the whole network, or fd00::1 for that address alone"),
    ],
)
def test_a_refusal_says_in_plain_words_what_is_accepted(monkeypatch, name, value, words):
    monkeypatch.setenv(f"PHEYE_{name.upper()}", value)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert str(refused.value).startswith(f"PHEYE_{name.upper()}: ")
    assert str(refused.value).endswith(words)


def test_every_setting_of_seconds_says_its_least_value():
    for name, field in Settings.model_fields.items():
        if name.endswith("_s") and name not in UNBOUNDED_BELOW:
            least = [bound.ge for bound in field.metadata if hasattr(bound, "ge")]
            assert least, f"{name}: give it a least value with ge=, below which it makes no sense"
            assert f" {least[0]:g} to " in field.description, f"{name}: say its bounds"


def test_every_wrong_setting_is_named_at_once():
    with pytest.raises(SettingsError) as caught:
        load_settings(port=-1, slots=-1)
    assert {line.split(":")[0] for line in str(caught.value).splitlines()} == {"PHEYE_PORT", "PHEYE_SLOTS"}


def test_a_default_answer_that_leaves_no_room_for_a_prompt_is_refused():
    with pytest.raises(
        SettingsError, match=r"PHEYE_DEFAULT_MAX_TOKENS: 256 leaves no room .* PHEYE_CONTEXT_TOKENS, 128"
    ):
        load_settings(context_tokens=128)


@pytest.mark.parametrize(
    ("text", "keys"), [("", []), ("one", ["one"]), (" one , two\n", ["one", "two"])], ids=["none", "one", "two"]
)
def test_api_keys_are_separated_by_commas(monkeypatch, text, keys):
    monkeypatch.setenv("PHEYE_API_KEYS", text)
    assert [key.get_secret_value() for key in load_settings().api_keys] == keys


@pytest.mark.parametrize("text", [" , ", " ", "\n"], ids=["comma", "space", "new line"])
def test_text_without_a_key_is_refused_instead_of_opening_the_service(monkeypatch, text):
    monkeypatch.setenv("PHEYE_API_KEYS", text)
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
    assert all(row.description.endswith(".") for row in rows)
    assert [row.variable for row in rows if not row.flag.startswith("--")] == ["PHEYE_API_KEYS"]


def test_every_renamed_setting_is_one_that_is_there_and_its_old_name_is_free():
    assert set(RENAMED_SETTINGS.values()) <= Settings.model_fields.keys()
    assert not RENAMED_SETTINGS.keys() & Settings.model_fields.keys()


def test_an_old_variable_is_read_unless_the_new_one_is_set(monkeypatch):
    monkeypatch.setitem(RENAMED_SETTINGS, "keys", "api_keys")
    monkeypatch.setenv("PHEYE_KEYS", "one,two")
    assert [key.get_secret_value() for key in load_settings().api_keys] == ["one", "two"]
    monkeypatch.setenv("PHEYE_API_KEYS", "three")
    assert [key.get_secret_value() for key in load_settings().api_keys] == ["three"]


def test_the_old_name_of_the_ping_of_streams_is_understood(monkeypatch):
    monkeypatch.setenv("PHEYE_KEEP_ALIVE_S", "2.5")
    assert load_settings().sse_ping_s == 2.5


def test_origins_are_compared_without_regard_to_case_and_spaces():
    assert load_settings(cors_origins=" https://A.example.org:8443 , http://[::1]:3000,").cors_origins == (
        "https://a.example.org:8443,http://[::1]:3000"
    )


def test_a_prefix_cannot_be_mistaken_for_a_path_of_the_service():
    assert {route.path.split("/")[1] for router in ROUTERS for route in router.routes} - {""} == set(OWN_PATHS)


def test_a_folder_may_be_below_home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    for name in ("feature_folder", "image_folder", "prepared_weights_folder"):
        monkeypatch.setenv(f"PHEYE_{name.upper()}", "~/kept")
        assert str(getattr(load_settings(), name)) == "/home/someone/kept"
    monkeypatch.setenv("PHEYE_IMAGE_FOLDER", "~nobody-of-that-name/kept")
    with pytest.raises(SettingsError, match="there is no such home folder; write out its path"):
        load_settings()


@pytest.mark.parametrize("name", ["image_hosts", "cors_origins", "mcp_hosts", "trusted_proxies"])
def test_a_password_in_an_address_that_is_refused_is_not_repeated(name: str) -> None:
    with pytest.raises(SettingsError, match="@host") as refused:
        load_settings(**{name: "https://me:secret@host/x"})
    assert "secret" not in str(refused.value)
