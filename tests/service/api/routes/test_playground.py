"""The playground's files: what is served, with which headers, to whom, and what they may not contain."""

from __future__ import annotations

import asyncio
import json
import posixpath
import re
import tomllib
from pathlib import Path

import httpx
import pytest

from model.prompt import CAPTIONS, CHOICE_ANSWER, SCENE_TEXT_CAPTION, SHORT_ANSWER
from service.api.app import create_app
from service.api.routes import page_files
from service.configuration.settings import Settings
from service.dispatch.queue import RequestQueue
from service.metrics.service_metrics import Metrics, metric_rows
from tests.support.serving import assert_problem

ROOT = Path(__file__).parents[4]
FOLDER = page_files.FOLDER / "playground"
FILES = {path.relative_to(FOLDER).as_posix(): path for path in sorted(FOLDER.rglob("*")) if path.is_file()}
TEXTS = {name: path.read_text(encoding="utf-8") for name, path in FILES.items() if path.suffix not in (".jpg", ".png")}
SCRIPTS = {name: text for name, text in TEXTS.items() if name.endswith(".js")}
POLICY = {
    "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data: blob:", "connect-src 'self'",
    "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
}  # fmt: skip


@pytest.fixture(scope="module")
def app():
    """With keys, because the page must come without one; in this process, since nothing here needs a worker."""
    settings, metrics = Settings(api_keys="secret"), Metrics()
    return create_app(settings, RequestQueue(settings, metrics), metrics)


def get(app, path, **headers):
    async def send():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
            return await client.get(path, headers=headers)

    return asyncio.run(send())


@pytest.mark.parametrize("path", ["/", "/favicon.ico", *(f"/playground/{name}" for name in FILES)])
def test_every_file_of_the_page_comes_without_a_key_and_shut_in(app, path):
    response = get(app, path)
    assert response.status_code == 200
    assert set(response.headers["content-security-policy"].split("; ")) == POLICY
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["cache-control"] == "no-cache"
    assert not response.headers["content-type"].startswith(("application/octet-stream", "text/plain"))
    again = get(app, path, **{"if-none-match": f'"other", W/{response.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["content-security-policy"] == response.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("path", "status"),
    [("/playground", 401), ("/v1", 401), ("/metrics", 401), ("/playground/../v1", 401), ("/playground/nosuch.js", 404),
     ("/playground/%2e%2e/settings.py", 404), ("/playground//etc/passwd", 404), ("/playground/", 404),
     ("/playground/samples", 404), ("/playground/%00", 404), ("/docs/%2e%2e%2fplayground%2fapp.js", 401)],
)  # fmt: skip
def test_the_page_opens_no_door_to_anything_else(app, path, status):
    assert_problem(get(app, path), status, "")


def test_every_file_in_the_folder_is_named_where_it_is_needed():
    for name in FILES.keys() - {"index.html"}:
        users = [text for user, text in TEXTS.items() if user != name]
        assert any(name.rpartition("/")[2] in text for text in users), name


@pytest.mark.parametrize("name", TEXTS)
def test_nothing_is_loaded_from_elsewhere_and_nothing_runs_inline(name):
    text = TEXTS[name].replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|//cdn|@import|eval\(|innerHTML|insertAdjacentHTML|document\.write", text)
    assert not (name.endswith(".css") and "url(" in text)
    if name.endswith(".html"):
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! [^>]*src=)|javascript:", text)
        assert not re.search(r'(?:src|href)="/', text), "addresses are relative: the page may live below a prefix"


@pytest.mark.parametrize("name", TEXTS)
def test_a_file_of_the_page_is_small(name):
    assert len(TEXTS[name].splitlines()) < 250
    assert sum(path.stat().st_size for path in FILES.values()) < 250_000


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_import_and_every_element_a_script_names_exists(name):
    for imported in re.findall(r'(?:from|import) "(\.{1,2}/[^"]+)"', SCRIPTS[name]):
        assert posixpath.normpath(f"{posixpath.dirname(name)}/{imported}".lstrip("/")) in SCRIPTS
    for id in re.findall(r'\bfind\("([^"]+)"\)', SCRIPTS[name]):
        assert f'id="{id}"' in TEXTS["index.html"]


def test_the_page_asks_for_metrics_that_exist():
    exported = {row.name for row in metric_rows()}
    named = set(re.findall(r"\bpheye_[a-z_]+\b", SCRIPTS["server/load.js"]))
    assert named
    assert named <= exported


def test_the_prompts_of_the_page_are_the_models():
    captions, answers = re.findall(r"= (\{.*?\});", SCRIPTS["ask/prompts.js"], re.DOTALL)
    assert json.loads(captions) == CAPTIONS | {"scene_text": SCENE_TEXT_CAPTION}
    assert json.loads(answers) == {"short": SHORT_ANSWER, "choice": CHOICE_ANSWER}


def test_the_files_are_part_of_the_package():
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    wheel = build["targets"]["wheel"]
    assert wheel == {
        "packages": ["model", "service"],
        "exclude": ["model/ablation"],
    }  # of `service/` nothing is left out
    assert FOLDER.is_relative_to(ROOT / "service")
