"""nginx and HAProxy with the configurations of deploy/proxy/: a rolling restart behind them loses no request."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.support.proxies import PROXIES, PROXY, rolling_restarts

ENOUGH = 200  # requests through each proxy


@pytest.fixture(scope="module")
def proxied(tmp_path_factory):
    """What the clients of each proxy saw while both servers were restarted, once each."""
    return rolling_restarts(tmp_path_factory.mktemp("proxies"), rounds=1, enough=ENOUGH)


@pytest.mark.parametrize("name", PROXIES)
def test_a_rolling_restart_loses_no_request(proxied: dict[str, Counter[str]], name: str) -> None:
    outcomes = proxied[name]
    assert set(outcomes) == {"answered", "streamed"}, outcomes
    assert outcomes.total() >= ENOUGH


@pytest.mark.parametrize("name", PROXIES)
def test_a_proxy_accepts_its_configuration_as_it_is_committed(name: str, tmp_path: Path) -> None:
    command = PROXIES[name](tmp_path, 8080, (1, 2))
    check = [command[0], "-t", *command[1:]] if name == "nginx" else [command[0], "-c", *command[2:]]
    done = subprocess.run(check, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr


def test_the_proxies_allow_what_the_service_allows() -> None:
    """Sizes and times that are said twice say the same."""
    from service.configuration.settings import Settings

    default = Settings()
    nginx_conf, haproxy_cfg = ((PROXY / file).read_text(encoding="utf-8") for file in ("nginx.conf", "haproxy.cfg"))
    assert f"client_max_body_size {default.max_body_bytes // 2**20}m;" in nginx_conf
    assert f"gt {default.max_body_bytes} " in haproxy_cfg
    for text, pattern in ((nginx_conf, r"proxy_read_timeout (\d+)s"), (haproxy_cfg, r"timeout server (\d+)s")):
        [timeout_s] = re.findall(pattern, text)
        assert float(timeout_s) > default.deadline_s
    kept = re.findall(r"keepalive_timeout (\d+)s", nginx_conf), re.findall(r"pool-purge-delay (\d+)s", haproxy_cfg)
    for times in kept:
        assert times
        assert all(float(kept_s) < default.idle_timeout_s for kept_s in times)
