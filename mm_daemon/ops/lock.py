"""One daemon for one wallet: a file lock that the kernel drops when its holder ends, however it ends.

Two daemons on one wallet share an API key, and with it heartbeat, rate limits and cancel-all; they would trade against
each other's orders. The lock file names its holder for the one who is refused.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class LockHeld(Exception):
    """Another process holds the lock; the message names it."""


@contextmanager
def wallet_lock(directory: Path, wallet: str) -> Iterator[None]:
    """Hold the lock of a wallet while the block lasts.

    Args:
        directory: where lock files lie; made if missing, for the owner only.
        wallet: the address that holds the funds.

    Raises:
        LockHeld: another process holds it.
        OSError: the directory or the file cannot be made.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = directory / f"{wallet.lower()}.lock"
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            raise LockHeld(f"another mm-daemon (pid {holder}) trades wallet {wallet}; its lock is {file}") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
