"""The service keeps what its OpenAPI document promises: schemathesis makes a thousand requests from it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.serving import running_server

ROOT = Path(__file__).parents[3]
# Whether a request is accepted is not checked: that a string is an image, or a prompt fits, no schema can say.
UNCHECKED = "positive_data_acceptance,negative_data_rejection"
OPTIONS = [
    "--generation-deterministic", "--suppress-health-check=all", "--max-examples=4",
    "--phases=examples,coverage,fuzzing", f"--exclude-checks={UNCHECKED}", "--exclude-path=/v1/query",
    "--request-timeout=30", "--continue-on-failure", "--warnings=off", "--no-color",
]  # fmt: skip


def test_no_request_made_from_the_document_gets_what_it_does_not_promise(tmp_path):
    schemathesis = Path(sys.executable).with_name("schemathesis")
    hooks = {"SCHEMATHESIS_HOOKS": "tests.support.schemathesis_hooks", "PYTHONPATH": str(ROOT)}
    with running_server(default_max_tokens=4, context_tokens=320) as server:
        done = subprocess.run(
            [schemathesis, "run", f"{server.url}/openapi.json", *OPTIONS],
            cwd=tmp_path,
            env=os.environ | hooks,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "No issues found" in done.stdout
        assert "Traceback" not in server.log
        for path in ("/v1/caption", "/v1/vqa", "/v1/chat/completions", "/v1/estimate"):
            assert server.metric(f'pheye_requests_total{{endpoint="{path}",status="200"}}') > 10.0, path
