"""The units as they are shipped: systemd understands every line, they are confined, and both say the same.

What they do under a running systemd is exercise.sh's matter, which needs a machine of its own.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "systemd"
SINGLE, TEMPLATE = UNITS / "mm-daemon.service", UNITS / "mm-daemon@.service"
MOST_EXPOSED = 15
"""Tenths: `systemd-analyze security` goes from 0, confined, to 100."""

needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
each_unit = pytest.mark.parametrize("unit", [SINGLE, TEMPLATE], ids=lambda unit: unit.stem)


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What `systemd-analyze` says."""
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False)


def settings(unit: Path) -> dict[str, list[str]]:
    """Every value of each key, in order."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


@needs_systemd
@each_unit
def test_systemd_understands_every_line(unit: Path, tmp_path: Path) -> None:
    """No unknown key, no bad value, nothing that this version ignores. The program need not be installed for it."""
    copy = tmp_path / unit.name.replace("@", "@some-name")
    copy.write_text(unit.read_text().replace("/opt/mm-daemon/.venv/bin/mm-daemon", "/bin/true"))
    checked = analyze("verify", str(copy))
    ours = [line for line in (checked.stdout + checked.stderr).splitlines() if "mm-daemon" in line]
    assert (checked.returncode, ours) == (0, [])


@needs_systemd
@each_unit
def test_the_service_is_confined(unit: Path) -> None:
    """At most 1.5 of 10 by systemd's own count; what remains is the network, which it lives on."""
    checked = analyze("security", "--offline=true", f"--threshold={MOST_EXPOSED}", str(unit))
    assert checked.returncode == 0, checked.stdout[-400:]


def test_both_units_say_the_same() -> None:
    """One daemon or one of several: only names differ, so that what is tested on one holds for the other."""
    single, template = settings(SINGLE), settings(TEMPLATE)
    differing = {key for key in single | template if single.get(key) != template.get(key)}
    assert differing == {"Description", "ExecStart", "LoadCredential", "StateDirectory", "SyslogIdentifier", "User"}


@each_unit
def test_the_key_is_a_credential_only(unit: Path) -> None:
    """No line puts it into the environment or on the command line, where others could read it."""
    text = unit.read_text()
    assert settings(unit)["LoadCredential"] == [
        "private_key:/etc/mm-daemon/" + ("%i.key" if unit is TEMPLATE else "private_key")
    ]
    assert "MM_PRIVATE_KEY" not in text and "--live" not in "".join(settings(unit)["ExecStart"])


@pytest.mark.skipif(not shutil.which("sh"), reason="no shell")
@pytest.mark.parametrize("arguments", [["--what"], ["--root"], ["--python", "/nonexistent", "--root", "."]])
def test_the_installer_refuses_what_it_does_not_understand(arguments: list[str], tmp_path: Path) -> None:
    """A wrong argument ends it before anything is made."""
    ran = subprocess.run(
        ["sh", str(UNITS / "install.sh"), *arguments], cwd=tmp_path, capture_output=True, timeout=60, check=False
    )
    assert ran.returncode != 0 and list(tmp_path.iterdir()) == []
