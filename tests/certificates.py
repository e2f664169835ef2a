"""Certificates that sign themselves, for tests that speak TLS on the loopback."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from mm_daemon.exchange.polymarket import connections
from mm_daemon.tasks import quick_socket, spare_socket


def certificate(folder: Path, name: str) -> Path:
    """A certificate for a name that signs itself, with its key."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("no openssl to make a certificate with")
    file = folder / f"{name}.pem"
    subprocess.run(
        [
            *(program, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"),
            *("-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-keyout", file, "-out", f"{file}.crt"),
        ],
        check=True,
        capture_output=True,
        timeout=30,
    )
    file.write_text(file.read_text() + Path(f"{file}.crt").read_text())
    return file


def trust(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process's connections trust what the file certifies, until the test's end."""
    trusted = ssl.create_default_context(cafile=str(file))
    for module in (connections, quick_socket, spare_socket):
        monkeypatch.setattr(module, "trusted", lambda: trusted)
