"""The wallet's private key: where it may come from, and how it stays out of everything else. Other secrets' files, too.

The key comes from exactly one of three places, none of them a settings file or a command line. It is held by an object
that shows itself in no repr, log or traceback, leaves the environment as soon as it is read, and is kept out of core
dumps.
"""

from __future__ import annotations

import ctypes
import os
import resource
import stat
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import NoReturn

from mm_daemon.toml_tables import ConfigError

KEY_VARIABLE = "MM_PRIVATE_KEY"
FILE_VARIABLE = "MM_PRIVATE_KEY_FILE"
DIRECTORY_VARIABLE = "CREDENTIALS_DIRECTORY"
CREDENTIAL_NAME = "private_key"

_CURVE_ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
_MAX_KEY_FILE_BYTES = 1024
_KEY = "the private key"
_PR_SET_DUMPABLE = 4


class PrivateKey:
    """A secp256k1 private key that does not show itself.

    Raises:
        ValueError: not 64 hexadecimal digits (0x before and space around them are allowed), or not a key of the curve.
            The message does not repeat the text.
    """

    __slots__ = ("_hex",)

    def __init__(self, text: str) -> None:
        digits = text.strip().removeprefix("0x").removeprefix("0X")
        if len(digits) != 64 or any(c not in "0123456789abcdefABCDEF" for c in digits):
            raise ValueError("must be 64 hexadecimal digits, with or without 0x before them")
        if not 0 < int(digits, 16) < _CURVE_ORDER:
            raise ValueError("is not a private key of the curve secp256k1")
        self._hex = digits.lower()

    def reveal_hex(self) -> str:
        """The key itself as 64 lower-case hexadecimal digits, for the signer and for `register_secret`."""
        return self._hex

    def __repr__(self) -> str:
        return "PrivateKey(hidden)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key is not pickled")


def load_private_key(environ: MutableMapping[str, str] = os.environ) -> PrivateKey:
    """Read the private key from the one place that holds it.

    The places are the variable MM_PRIVATE_KEY, the file that MM_PRIVATE_KEY_FILE names, and the file `private_key` in
    $CREDENTIALS_DIRECTORY, which systemd's LoadCredential makes. A key in a variable is taken out of the environment,
    so that no child process inherits it.

    Raises:
        ConfigError: none or several of the places are used, a file cannot be read or is open to other users, or what is
            there is not a private key. No message repeats what was read.
    """
    text = environ.pop(KEY_VARIABLE, "")
    file = environ.get(FILE_VARIABLE, "")
    credential = _credential_file(environ, CREDENTIAL_NAME)
    sources = {
        KEY_VARIABLE: bool(text),
        FILE_VARIABLE: bool(file),
        f"${DIRECTORY_VARIABLE}/private_key": bool(credential),
    }
    given = [name for name, is_given in sources.items() if is_given]
    if not given:
        raise ConfigError("environment", "", f"live trading needs a private key: give one of {', '.join(sources)}")
    if len(given) > 1:
        raise ConfigError("environment", "", f"several private keys are given, keep one: {' and '.join(given)}")
    if file:
        # Group and others: an ordinary file of ours has no reason to be open to either.
        text = _read_secret_file(Path(file), _KEY, forbidden=stat.S_IRWXG | stat.S_IRWXO)
    elif credential is not None:
        # systemd may give the service its credential by an access list, which shows as a group bit.
        text = _read_secret_file(credential, _KEY, forbidden=stat.S_IRWXO)
    try:
        return PrivateKey(text)
    except ValueError as error:
        raise ConfigError("environment", given[0], str(error)) from None


def load_secret(
    what: str, setting: Path | None, variable: str, credential: str, environ: Mapping[str, str] = os.environ
) -> str | None:
    """Read a secret other than the private key; None where nobody gives one.

    Args:
        what: what it is, in the words of an error message.
        setting: the file that the settings name, if they do.
        variable: the environment's variable that may name the file.
        credential: its name in $CREDENTIALS_DIRECTORY.
        environ: the environment.

    Raises:
        ConfigError: several places are used, a file cannot be read or is open to other users. No message repeats what
            was read.
    """
    named, granted = environ.get(variable, ""), _credential_file(environ, credential)
    sources = {
        "the settings": setting,
        variable: Path(named) if named else None,
        f"${DIRECTORY_VARIABLE}/{credential}": granted,
    }
    given = {name: file for name, file in sources.items() if file is not None}
    if len(given) > 1:
        raise ConfigError("environment", "", f"{what} comes from several places, keep one: {' and '.join(given)}")
    if not given:
        return None
    [file] = given.values()
    forbidden = stat.S_IRWXO if file is granted else stat.S_IRWXG | stat.S_IRWXO
    return _read_secret_file(file, what, forbidden=forbidden).strip()


def _credential_file(environ: Mapping[str, str], name: str) -> Path | None:
    directory = environ.get(DIRECTORY_VARIABLE, "")
    file = Path(directory) / name
    return file if directory and file.exists() else None


def _read_secret_file(file: Path, what: str, *, forbidden: int) -> str:
    try:
        with file.open("rb") as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ConfigError(file, "", f"the file of {what} must be an ordinary file")
            if status.st_mode & forbidden:
                mode = f"{stat.S_IMODE(status.st_mode):03o}"
                raise ConfigError(file, "", f"{what} is open to other users (mode {mode}): chmod 600 it")
            content = stream.read(_MAX_KEY_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(file, "", f"{what} cannot be read: {error.strerror}") from None
    if len(content) > _MAX_KEY_FILE_BYTES or not content.isascii():
        raise ConfigError(file, "", f"does not hold {what.replace('the ', 'a ', 1)}")
    return content.decode("ascii")


def forbid_core_dumps() -> None:
    """Keep this process's memory, which will hold the key, out of core files and away from other processes' tracers.

    On Linux /proc/PID/environ and /proc/PID/mem become unreadable for ordinary users as well.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
