"""The server that tests of several routes share: the model that is built in, since it answers sensibly."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.serving import Server, running_server


@pytest.fixture(scope="session")
def tiny_server() -> Iterator[Server]:
    with running_server(model="pheye-tiny") as running:
        yield running
