"""What this computer has to offer: settings files, the key's file, a place for the state, room, time, and no rival."""

from __future__ import annotations

import ctypes
import os
import shutil
import stat
import sys
from collections.abc import Mapping
from pathlib import Path

from mm_daemon.books import ledger_file
from mm_daemon.credentials import CREDENTIAL_NAME, DIRECTORY_VARIABLE, FILE_VARIABLE, KEY_VARIABLE
from mm_daemon.doctor.checks import Seen, fail, ok, skip, warn
from mm_daemon.journal.errors import LedgerError, LedgerMissing
from mm_daemon.journal.reading import LedgerReader
from mm_daemon.ops.lock import LockHeld, wallet_lock

LEAST_FREE_BYTES = 200 * 2**20
SCARCE_FREE_BYTES = 2 * 2**30
"""The ledger grows by some megabytes a day, a recording by gigabytes."""

_TIMEX_BYTES = 256
_CLOCK_ERROR = 5
"""What adjtimex answers for a clock that nobody keeps."""


def look_at_file(file: Path, what: str) -> Seen:
    """Whether nobody else can change a settings file that was read already."""
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        return warn(f"{what}; other users may write it (mode {mode:03o})", f"chmod go-w {file}: limits stand in it")
    return ok(what)


def key_source(environ: Mapping[str, str]) -> str:
    """Where the private key comes from, in words. To be asked before it is read, which empties the variable."""
    if environ.get(KEY_VARIABLE):
        return f"from {KEY_VARIABLE}"
    if file := environ.get(FILE_VARIABLE):
        return f"from the file {file}, open to its owner alone"
    return f"from ${DIRECTORY_VARIABLE}/{CREDENTIAL_NAME}"


def look_at_state(directory: Path) -> Seen:
    """Whether the state directory can be used, or made."""
    if directory.is_dir():
        if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
            return fail("cannot be written by this user", "run as the user who owns it, or chown it")
        mode = stat.S_IMODE(directory.stat().st_mode)
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            return warn(f"is open to other users (mode {mode:03o})", f"chmod 700 {directory}")
        return ok("exists and can be written")
    ancestor = _existing(directory)
    if not ancestor.is_dir():
        return fail(f"{ancestor} is not a directory", "name another [state].directory")
    if not os.access(ancestor, os.W_OK | os.X_OK):
        return fail(f"cannot be made in {ancestor}", f"mkdir -p -m 700 {directory}, owned by the daemon's user")
    return ok("does not exist yet; the daemon makes it")


def look_at_disk(directory: Path) -> Seen:
    """Whether there is room: without a ledger that can be written nothing is quoted."""
    free = shutil.disk_usage(_existing(directory)).free
    text = f"{free / 2**30:.1f} GiB free"
    if free < LEAST_FREE_BYTES:
        return fail(text, "make room: when the ledger cannot be written, nothing is quoted")
    if free < SCARCE_FREE_BYTES:
        return warn(text, "make room before it runs out: when the ledger cannot be written, nothing is quoted")
    return ok(text)


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())


def look_at_ledger(directory: Path, config_file: Path) -> Seen:
    """Whether the ledger of earlier runs can be read, and whether a person halted quoting."""
    try:
        with LedgerReader(ledger_file(directory)) as reader:
            halts = [f"{latch.kind}: {latch.reason}" for latch in reader.latches()]
    except LedgerMissing:
        return ok("none yet; the daemon makes it at its first start")
    except LedgerError as error:
        return fail(str(error), "see what the message says; `mm-daemon status` reads the same file")
    if halts:
        return warn(
            f"quoting is halted: {'; '.join(halts)}",
            f"look into it, then: mm-daemon resume --config {config_file} (while the daemon runs)",
        )
    return ok("can be read; quoting is not halted")


def look_at_lock(directory: Path, wallet: str) -> Seen:
    """Whether a daemon, or a smoke test, trades already.

    Args:
        directory: where the locks lie.
        wallet: the one to look for; "" for any.
    """
    locks = [directory / f"{wallet.lower()}.lock"] if wallet else sorted(directory.glob("*.lock"))
    for lock in locks:
        if not lock.exists():
            continue
        try:
            with wallet_lock(directory, lock.stem):
                pass
        except LockHeld as held:
            return warn(str(held), "fine if that is the daemon you mean; a second one, or a smoke test, ends with 5")
        except OSError as error:
            return fail(f"{lock}: {error.strerror}", "run as the daemon's user")
    return ok("free")


def look_at_clock() -> Seen:
    """Whether the kernel's clock is kept by somebody (NTP); how far it is off, only the venue can tell."""
    if sys.platform != "linux":
        return skip("whether this clock is kept by NTP can be told on Linux only")
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    if state < 0:
        return skip(f"the kernel does not tell: {os.strerror(ctypes.get_errno())}")
    if state == _CLOCK_ERROR:
        return warn(
            "the kernel's clock is not synchronised", "install and start chrony or systemd-timesyncd on the host"
        )
    return ok("synchronised, says the kernel")
