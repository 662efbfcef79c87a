"""Certificate and private key for TLS, as PEM files.

Owns how they are checked and the words for what is wrong. Pure but for reading files; any thread.
"""

from __future__ import annotations

import ssl
from pathlib import Path


def tls_context(cert_file: str, key_file: str) -> ssl.SSLContext:
    """Load a certificate, with the chain behind it, and its private key.

    Raises:
        ValueError: a file is missing or wrong, or they do not belong together; the message names the setting.
    """
    if not (cert_file and key_file):
        missing, given = ("KEY", "CERT") if cert_file else ("CERT", "KEY")
        raise ValueError(f"PHEYE_TLS_{missing}_FILE: is needed beside PHEYE_TLS_{given}_FILE")
    _check_readable("CERT", cert_file, "-----BEGIN CERTIFICATE-----")
    _check_readable("KEY", key_file, "PRIVATE KEY-----")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # TLS 1.2 or newer
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(cert_file, key_file, password="")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ValueError("PHEYE_TLS_KEY_FILE: is not the key of the certificate in PHEYE_TLS_CERT_FILE") from None
        words = f"not PEM with a certificate and its key, without a passphrase ({error.reason or 'unknown'})"
        raise ValueError(f"PHEYE_TLS_CERT_FILE, PHEYE_TLS_KEY_FILE: {words}") from None
    except OSError as error:  # a file that went away since it was looked at
        raise ValueError(f"PHEYE_TLS_CERT_FILE, PHEYE_TLS_KEY_FILE: {error.strerror or error}") from None
    return context


def _check_readable(which: str, path: str, mark: str) -> None:
    try:
        text = Path(path).read_text(encoding="latin-1")
    except OSError as error:
        raise ValueError(f"PHEYE_TLS_{which}_FILE: {path}: {error.strerror or error}") from None
    if "ENCRYPTED" in text:
        raise ValueError(f"PHEYE_TLS_{which}_FILE: {path}: is encrypted; write the key without a passphrase")
    if mark not in text:
        raise ValueError(f"PHEYE_TLS_{which}_FILE: {path}: there is no {mark.strip('-').removeprefix('BEGIN ')} in it")
