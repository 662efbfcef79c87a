"""A renewed certificate is served without a restart, and one that does not fit its key changes nothing."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path

import pytest
import trustme

from service.api.connections import tls
from service.configuration.settings import Settings
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
    write(old, tmp_path)
    monkeypatch.setattr(tls, "LOOK_S", 0.01)
    files = {"tls_cert_file": str(tmp_path / "cert.pem"), "tls_key_file": str(tmp_path / "key.pem")}
    served = tls.ServerTls(Settings(**files))

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
