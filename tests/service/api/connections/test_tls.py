"""A renewed certificate is served without a restart, and one that does not fit its key changes nothing."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from pathlib import Path
from unittest.mock import Mock

import pytest
import trustme

from service import upkeep
from service.api.connections import tls
from service.configuration.settings import Settings
from service.configuration.tls_files import tls_context
from tests.support.decoders import until


def write(authority: trustme.CA, folder: Path) -> None:
    """Write a certificate of this authority and its key, as a tool that renews them does."""
    made = authority.issue_cert("localhost")
    (folder / "key.pem").write_bytes(made.private_key_pem.bytes())
    (folder / "cert.pem").write_bytes(b"".join(each.bytes() for each in made.cert_chain_pems))


def trusts(authority: trustme.CA, context: ssl.SSLContext) -> bool:
    """Shake hands in memory, as a client that trusts this authority alone."""
    client_context = ssl.create_default_context()
    authority.configure_trust(client_context)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname="localhost")
    server = context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError:
                return False
    return client.version() == "TLSv1.3"


def watched(authority: trustme.CA, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tls.ServerTls:
    """Serve a certificate of this authority, and look at its files often."""
    write(authority, folder)
    monkeypatch.setattr(tls, "LOOK_S", 0.01)
    files = {"tls_cert_file": str(folder / "cert.pem"), "tls_key_file": str(folder / "key.pem")}
    return tls.ServerTls(Settings(**files))


@pytest.fixture(scope="module")
def authorities() -> tuple[trustme.CA, trustme.CA]:
    return trustme.CA(), trustme.CA()


def test_a_renewed_certificate_is_read_again_and_a_wrong_one_is_not(
    authorities: tuple[trustme.CA, trustme.CA],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    old, new = authorities
    served = watched(old, tmp_path, monkeypatch)

    async def main() -> None:
        watching = asyncio.create_task(served.watch())
        key = (tmp_path / "key.pem").read_bytes()
        write(new, tmp_path)
        await until(lambda: "certificate read again from" in caplog.text, 60)
        assert (trusts(old, served.context), trusts(new, served.context)) == (False, True)
        caplog.clear()
        (tmp_path / "key.pem").write_bytes(key)
        await until(lambda: "stays as it was: PHEYE_TLS_KEY_FILE: is not the key" in caplog.text, 60)
        assert trusts(new, served.context)
        watching.cancel()

    with caplog.at_level(logging.INFO, "pheye.tls"):
        asyncio.run(main())


@pytest.mark.parametrize(
    "failure", [PermissionError(13, "Permission denied"), ValueError("odd")], ids=["mode", "other"]
)
def test_a_certificate_that_could_not_be_read_is_tried_again_though_its_files_stay_the_same_and_told_once(
    authorities: tuple[trustme.CA, trustme.CA],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    failure: Exception,
) -> None:
    old, new = authorities
    served, attempts = watched(old, tmp_path, monkeypatch), 0

    def refused(*_: str) -> None:
        nonlocal attempts
        attempts += 1
        raise failure

    async def main() -> None:
        write(new, tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr(tls, "tls_context", refused)
            watching = asyncio.create_task(served.watch())
            await until(lambda: attempts > 3, 60)
        await until(lambda: trusts(new, served.context), 60)
        watching.cancel()

    asyncio.run(main())
    assert caplog.messages == [f"the certificate stays as it was: {failure}"]


def test_a_file_put_in_place_with_the_time_of_the_one_before_it_is_seen(
    authorities: tuple[trustme.CA, trustme.CA], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = authorities
    served = watched(old, tmp_path, monkeypatch)
    times = {path: os.stat(path).st_mtime_ns for path in tmp_path.iterdir()}
    write(new, tmp_path)
    for path, time_ns in times.items():
        os.utime(path, ns=(time_ns, time_ns))

    async def main() -> None:
        watching = asyncio.create_task(served.watch())
        await until(lambda: trusts(new, served.context), 60)
        watching.cancel()

    asyncio.run(main())


def test_a_file_that_goes_away_while_it_is_read_is_refused_like_one_that_is_missing(
    authorities: tuple[trustme.CA, trustme.CA], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(authorities[0], tmp_path)
    gone = Mock(side_effect=FileNotFoundError(2, "No such file or directory"))
    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", gone)
    with pytest.raises(ValueError, match="PHEYE_TLS_KEY_FILE: No such file or directory"):
        tls_context(str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"))


def test_a_renewed_certificate_is_read_after_looks_that_failed_for_any_reason(
    authorities: tuple[trustme.CA, trustme.CA], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = authorities
    served = watched(old, tmp_path, monkeypatch)
    monkeypatch.setattr(upkeep, "FIRST_PAUSE_S", 0.01)
    failing = Mock(side_effect=[RuntimeError("can't start new thread")] * 2 + [served._state()] * 10**4)
    monkeypatch.setattr(served, "_state", failing)

    async def main() -> None:
        watching = asyncio.create_task(served.watch())
        await until(lambda: failing.call_count > 3, 60)
        write(new, tmp_path)
        monkeypatch.setattr(served, "_state", lambda: ((1,), (1,)))
        await until(lambda: trusts(new, served.context), 60)
        watching.cancel()

    asyncio.run(main())
