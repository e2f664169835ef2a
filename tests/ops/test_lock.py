"""One daemon for one wallet."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mm_daemon.ops.lock import LockHeld, wallet_lock

WALLET = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
HOLDER = """
import sys
from pathlib import Path
from mm_daemon.ops.lock import wallet_lock
with wallet_lock(Path(sys.argv[1]), sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_daemon_is_refused_with_the_first_ones_pid(tmp_path: Path) -> None:
    """Whatever case the address is written in, the holder's process is named; when it dies the lock is free."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path), WALLET], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        with pytest.raises(LockHeld, match=str(holder.pid)), wallet_lock(tmp_path, WALLET.lower()):
            pass
        holder.kill()
    with wallet_lock(tmp_path, WALLET):
        pass


def test_two_wallets_do_not_meet(tmp_path: Path) -> None:
    """The lock is the wallet's, not the directory's."""
    with wallet_lock(tmp_path, WALLET), wallet_lock(tmp_path, "0x" + "1" * 40):
        pass


def test_the_lock_is_the_owners_alone(tmp_path: Path) -> None:
    """Directory 0700, file 0600, from the moment they are made."""
    directory = tmp_path / "state"
    with wallet_lock(directory, WALLET):
        file = directory / f"{WALLET.lower()}.lock"
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700 and stat.S_IMODE(file.stat().st_mode) == 0o600
        assert file.read_text() == f"{os.getpid()}\n"
