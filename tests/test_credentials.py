"""The private key: exactly one source, no trace."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

from mm_daemon.config import ConfigError
from mm_daemon.credentials import PrivateKey, load_private_key

KEY = "1f" * 32


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """A key file as it should be: the owner's alone."""
    file = tmp_path / "private_key"
    file.write_text(f"0x{KEY}\n")
    file.chmod(0o600)
    return file


@pytest.mark.parametrize("text", [KEY, f"0x{KEY}", f"0X{KEY.upper()}", f"  {KEY}\n"])
def test_forms_of_a_key(text: str) -> None:
    """With or without 0x, in either case, with space around it."""
    assert PrivateKey(text).reveal_hex() == KEY


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0x",
        KEY[:-1],
        KEY + "0",
        KEY[:-1] + "g",
        "0" * 64,
        "f" * 64,
        "١" * 64,
        f"0x0x{KEY[4:]}",
        KEY[:30] + " " + KEY[31:],
    ],
)
def test_not_a_key(text: str) -> None:
    """What is not a key of the curve is refused, and the message does not repeat it."""
    with pytest.raises(ValueError, match=r"must be 64|is not a private") as caught:
        PrivateKey(text)
    assert len(text) < 10 or text not in str(caught.value)


def test_a_key_does_not_show_itself() -> None:
    """No repr, text, format, attribute listing or pickle holds the key."""
    key = PrivateKey(KEY)
    for shown in (repr(key), str(key), f"{key}", f"{[key]}", f"{key!r:>40}", str(dir(key))):
        assert KEY not in shown
    with pytest.raises(TypeError):
        pickle.dumps(key)
    with pytest.raises(TypeError):
        copy.copy(key)


def test_a_key_from_the_environment_is_taken_out_of_it() -> None:
    """After reading, no child process and no later reader finds it."""
    environ = {"MM_PRIVATE_KEY": KEY, "HOME": "/"}
    assert load_private_key(environ).reveal_hex() == KEY
    assert environ == {"HOME": "/"}


def test_a_bad_key_is_taken_out_of_the_environment_too() -> None:
    """A key with a typing error is almost a key."""
    environ = {"MM_PRIVATE_KEY": KEY[:-1]}
    with pytest.raises(ConfigError, match=r"^environment: MM_PRIVATE_KEY: must be 64 hexadecimal digits") as caught:
        load_private_key(environ)
    assert environ == {}
    assert KEY[:-1] not in "".join(traceback.format_exception(caught.value))


def test_a_key_from_a_file(key_file: Path) -> None:
    """MM_PRIVATE_KEY_FILE names a file."""
    assert load_private_key({"MM_PRIVATE_KEY_FILE": str(key_file)}).reveal_hex() == KEY


@pytest.mark.parametrize("mode", [0o400, 0o440, 0o600])
def test_a_key_from_systemd(key_file: Path, mode: int) -> None:
    """The credential is found in its directory; systemd may grant it by an access list, which shows as a group bit."""
    key_file.chmod(mode)
    assert load_private_key({"CREDENTIALS_DIRECTORY": str(key_file.parent)}).reveal_hex() == KEY


def test_a_credentials_directory_without_a_key_is_no_source(tmp_path: Path) -> None:
    """A unit may load other credentials; the key then comes from elsewhere."""
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path), "MM_PRIVATE_KEY": KEY}
    assert load_private_key(environ).reveal_hex() == KEY


def test_no_key() -> None:
    """Without a key the three places are named."""
    with pytest.raises(ConfigError, match=r"MM_PRIVATE_KEY, MM_PRIVATE_KEY_FILE, \$CREDENTIALS_DIRECTORY/private_key$"):
        load_private_key({"MM_PRIVATE_KEY": "", "MM_PRIVATE_KEY_FILE": ""})


def test_several_keys(key_file: Path) -> None:
    """Two sources are a mistake even if they agree, and both are named."""
    environ = {"MM_PRIVATE_KEY": KEY, "CREDENTIALS_DIRECTORY": str(key_file.parent)}
    with pytest.raises(ConfigError, match=r"MM_PRIVATE_KEY and \$CREDENTIALS_DIRECTORY/private_key$") as caught:
        load_private_key(environ)
    assert KEY not in str(caught.value)
    assert "MM_PRIVATE_KEY" not in environ


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620, 0o644])
def test_a_file_open_to_others_is_refused(key_file: Path, mode: int) -> None:
    """A key that somebody else can read or change is not used."""
    key_file.chmod(mode)
    with pytest.raises(ConfigError, match=rf"open to other users \(mode {mode:03o}\): chmod 600"):
        load_private_key({"MM_PRIVATE_KEY_FILE": str(key_file)})


def test_unusable_files(tmp_path: Path, key_file: Path) -> None:
    """Missing, not a file, binary or far too long: each a line that names the file."""
    missing, directory = tmp_path / "missing", tmp_path / "directory"
    directory.mkdir()
    for file, reason in (
        (missing, "No such file"),
        (directory, "Is a directory"),
        (Path("/dev/null"), "ordinary file"),
    ):
        with pytest.raises(ConfigError, match=reason) as caught:
            load_private_key({"MM_PRIVATE_KEY_FILE": str(file)})
        assert str(caught.value).startswith(str(file))
    for content in (b"\xff" * 64, b"1" * 5000):
        key_file.write_bytes(content)
        with pytest.raises(ConfigError, match="does not hold a private key"):
            load_private_key({"MM_PRIVATE_KEY_FILE": str(key_file)})


@pytest.mark.skipif(sys.platform != "linux", reason="reads the process's state from Linux")
def test_no_core_dumps() -> None:
    """The process's memory, which holds the key, is not written to a core file."""
    program = (
        "import ctypes, resource; from mm_daemon.credentials import forbid_core_dumps; forbid_core_dumps();"
        "assert resource.getrlimit(resource.RLIMIT_CORE)[0] == 0;"
        "assert ctypes.CDLL(None).prctl(3, 0, 0, 0, 0) == 0"  # PR_GET_DUMPABLE
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
