"""The ledger's file: what is committed stays, and whatever is wrong with it is said and never papered over."""

# The event loop of these tests waits for nobody else.
# ruff: noqa: ASYNC221, ASYNC240

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from mm_daemon.journal.errors import LedgerCorrupt, LedgerUnavailable, LedgerVersion, WrongAccount
from mm_daemon.journal.ledger import Ledger
from mm_daemon.journal.schema import MIGRATIONS, V1, open_database
from tests.journal.given import entry, eventually, numbers

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer looks, waits and tries again in shorter times than in life."""
    for name, secs in (("LOOK_SECS", 0.05), ("LOCK_SECS", 0.2), ("RETRY_SECS", 0.05)):
        monkeypatch.setattr(f"mm_daemon.journal.ledger.{name}", secs)


def mode(path: Path) -> int:
    """A file's permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


def run_writer(script: str, path: Path) -> subprocess.Popen[str]:
    """Another process with a ledger: `script` has `ledger`, `entry` and `print`."""
    head = """
        import asyncio, sys, time
        from pathlib import Path
        from mm_daemon.journal.ledger import Ledger
        from tests.journal.given import entry
        path = Path(sys.argv[1])
    """
    code = textwrap.dedent(head) + textwrap.dedent(script)
    return subprocess.Popen(
        [sys.executable, "-u", "-c", code, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True, env=os.environ
    )


# What it is for


async def test_what_was_noted_is_there_after_the_close(path: Path) -> None:
    """Everything noted is on disk in its order, and the log beside the file is gone."""
    ledger = Ledger.open(path)
    for number in range(2_000):
        ledger.note(entry(number))
    assert await ledger.close()
    assert numbers(path) == list(range(2_000))
    ledger = Ledger.open(path)
    ledger.note(entry(2_000))
    assert await ledger.close()
    assert numbers(path) == list(range(2_001))


async def test_a_flush_waits_for_what_was_noted(path: Path) -> None:
    """After a flush a reader sees it, while the ledger goes on."""
    ledger = Ledger.open(path)
    assert await ledger.flush(5)
    ledger.note(entry(1))
    assert await ledger.flush(5)
    assert numbers(path) == [1] and ledger.waiting == 0 and ledger.problem is None
    await ledger.close()


async def test_rows_noted_together_are_committed_together(path: Path) -> None:
    """A note one of whose rows cannot be written leaves none of them, and is a problem."""
    ledger = Ledger.open(path)
    ledger.note(entry(1), ("INSERT INTO meta VALUES (?, ?)", ("key", None)))
    assert not await ledger.flush(0.3)
    assert "NOT NULL" in (ledger.problem or "")
    assert numbers(path) == []
    assert not await ledger.close(0.1)


async def test_numbers_beyond_64_bits_are_a_problem_and_no_crash(path: Path) -> None:
    """The writer survives what SQLite cannot hold, and says so."""
    ledger = Ledger.open(path)
    ledger.note(entry(2**70))
    assert not await ledger.flush(0.3)
    assert ledger.problem is not None
    await ledger.close(0.1)


async def test_files_are_private_from_the_beginning(path: Path) -> None:
    """The file and its companions are for their owner only, whatever the umask; so is the directory."""
    before = os.umask(0)
    try:
        ledger = Ledger.open(path)
        ledger.note(entry(1))
        assert await ledger.flush(5)
        found = sorted(path.parent.iterdir())
        assert [file.name for file in found] == ["ledger.sqlite", "ledger.sqlite-shm", "ledger.sqlite-wal"]
        assert {mode(file) for file in found} == {0o600} and mode(path.parent) == 0o700
        await ledger.close()
        path.chmod(0o644)
        await Ledger.open(path).close()
        assert mode(path) == 0o600
    finally:
        os.umask(before)


async def test_the_statistics_add_up(path: Path) -> None:
    """Noted is written and waiting."""
    ledger = Ledger.open(path)
    for number in range(10):
        ledger.note(entry(number))
    assert await ledger.flush(5)
    found = ledger.statistics()
    assert (found.noted, found.written, found.waiting, found.lost, found.failures) == (10, 10, 0, 0, 0)
    assert found.transactions >= 1 and found.slowest_secs >= found.last_secs > 0
    await ledger.close()


# Versions and other people's files


def version(path: Path) -> int:
    """The file's schema version."""
    with sqlite3.connect(path) as connection:
        found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.close()
    return found


async def test_an_older_file_is_migrated_and_keeps_its_rows(path: Path) -> None:
    """Each missing step is applied once; what was in the file stays."""
    ledger = Ledger.open(path)
    ledger.note(entry(1))
    await ledger.close()
    newer = (*MIGRATIONS, ("ALTER TABLE events ADD COLUMN extra INTEGER NOT NULL DEFAULT 7",))
    for _ in range(2):
        await Ledger.open(path, migrations=newer).close()
        with sqlite3.connect(path) as connection:
            assert connection.execute("SELECT ours, extra FROM events").fetchall() == [("1", 7)]
        connection.close()
    assert version(path) == len(newer)


async def test_an_empty_file_is_version_0(path: Path) -> None:
    """A crash right after the file was made leaves an empty one, which becomes a ledger."""
    path.parent.mkdir()
    path.touch()
    await Ledger.open(path).close()
    assert version(path) == len(MIGRATIONS)


def test_a_migration_that_fails_changes_nothing(path: Path) -> None:
    """All steps are one transaction."""
    with pytest.raises(LedgerUnavailable, match="nonsense"):
        open_database(path, (V1, ("CREATE TABLE more (x)", "nonsense")))
    assert version(path) == 0
    open_database(path).close()


def test_a_newer_file_is_refused(path: Path) -> None:
    """A ledger of a later version is not touched by an earlier one."""
    open_database(path, (*MIGRATIONS, ())).close()
    with pytest.raises(LedgerVersion, match="newer mm-daemon"):
        Ledger.open(path)
    assert version(path) == len(MIGRATIONS) + 1


@pytest.mark.parametrize(
    "content", [b"not a database, but long enough for a header " * 40, b"SQLite format 3\x00" * 64]
)
def test_a_file_that_is_no_database_is_left_as_it_is(path: Path, content: bytes) -> None:
    """A clear error that names the file; never a new ledger in its place."""
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(LedgerCorrupt, match=r"ledger\.sqlite: is damaged or not a database"):
        Ledger.open(path)
    assert path.read_bytes() == content


async def test_a_damaged_page_is_found_at_the_open(path: Path) -> None:
    """Damage inside the file is found before anything relies on it."""
    ledger = Ledger.open(path)
    for number in range(3_000):
        ledger.note(entry(number))
    await ledger.close()
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 8192] = b"\xff" * 8192
    path.write_bytes(content)
    with pytest.raises(LedgerCorrupt, match="left as it is"):
        Ledger.open(path)
    assert path.read_bytes() == content


def test_another_programs_database_is_refused(path: Path) -> None:
    """A database with tables that are not ours gets none of ours."""
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    with pytest.raises(LedgerCorrupt, match="another program's"):
        Ledger.open(path)


async def test_a_ledger_belongs_to_one_wallet(path: Path) -> None:
    """The first wallet is written down; another one is refused, the same one in other letters is not."""
    await Ledger.open(path, account="0xAb").close()
    await Ledger.open(path, account="0xaB").close()
    await Ledger.open(path).close()
    with pytest.raises(WrongAccount, match="0xAb, not of 0xcd"):
        Ledger.open(path, account="0xcd")


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    """What the file system refuses is an error of ours with the path in it."""
    (tmp_path / "file").touch()
    with pytest.raises(LedgerUnavailable, match=r"ledger\.sqlite"):
        Ledger.open(tmp_path / "file" / "ledger.sqlite")


# Everything that goes wrong meanwhile


def test_a_kill_in_the_middle_loses_nothing_committed(path: Path) -> None:
    """SIGKILL at any instant: what a flush confirmed is there, in order, without gaps, and the file opens again."""
    script = """
        async def write():
            ledger = Ledger.open(path)
            number = 0
            while True:
                for _ in range(200):
                    ledger.note(entry(number))
                    number += 1
                await ledger.flush(10)
                print(number)
        asyncio.run(write())
    """
    for pause in (0.0, 0.013, 0.05):
        path.unlink(missing_ok=True)
        with run_writer(script, path) as process:
            assert process.stdout is not None
            confirmed = [int(process.stdout.readline()) for _ in range(3)]
            time.sleep(pause)
            process.send_signal(signal.SIGKILL)
            confirmed += [int(line) for line in process.stdout.read().split()]
        open_database(path).close()
        found = numbers(path)
        assert len(found) >= confirmed[-1] and found == list(range(len(found)))


async def test_a_full_disk(tmp_path: Path) -> None:
    """While the disk is full there is a problem and nothing is lost; with space again all is written in order."""
    mount = tmp_path / "small"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "none", mount], capture_output=True).returncode:
        pytest.skip("mounting takes root")
    try:
        path = mount / "ledger.sqlite"
        ledger = Ledger.open(path)
        ledger.note(entry(0))
        assert await ledger.flush(5)
        ballast = mount / "ballast"
        free = os.statvfs(mount)
        ballast.write_bytes(b"x" * (free.f_bavail * free.f_bsize))
        for number in range(1, 3_000):
            ledger.note(entry(number))
        assert not await ledger.flush(1)
        assert "full" in (ledger.problem or "") or "disk" in (ledger.problem or "")
        ballast.unlink()
        eventually(lambda: ledger.problem is None)
        assert await ledger.flush(5)
        assert await ledger.close()
        assert numbers(path) == list(range(3_000))
    finally:
        subprocess.run(["umount", "--lazy", mount], check=True)


def test_a_file_that_may_not_grow(path: Path) -> None:
    """The same without root, by a limit on file sizes: a problem, then all of it."""
    script = """
        import resource, signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        async def write():
            ledger = Ledger.open(path)
            resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, resource.RLIM_INFINITY))
            for number in range(3_000):
                ledger.note(entry(number))
            print(await ledger.flush(1), ledger.problem)
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            print(await ledger.flush(5), ledger.problem)
            print(await ledger.close())
        asyncio.run(write())
    """
    with run_writer(script, path) as process:
        assert process.stdout is not None
        first, second, third = [line for line in process.stdout.read().splitlines() if line[:4] in ("True", "Fals")]
    assert first.startswith("False") and "None" not in first
    assert (second, third) == ("True None", "True")
    assert numbers(path) == list(range(3_000))


async def test_a_lock_that_stays(path: Path) -> None:
    """Somebody holds the database: a problem after a while, and all is well when they let go."""
    ledger = Ledger.open(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    began = time.perf_counter()
    ledger.note(entry(1))
    assert time.perf_counter() - began < 0.05
    assert not await ledger.flush(0.5)
    assert "locked" in (ledger.problem or "")
    other.execute("ROLLBACK")
    other.close()
    assert await ledger.flush(5) and ledger.problem is None
    assert await ledger.close()
    assert numbers(path) == [1]


def test_opening_a_locked_ledger(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits a while, then says that it is locked."""
    monkeypatch.setattr("mm_daemon.journal.schema.connect.__kwdefaults__", {"timeout_secs": 0.1})
    open_database(path).close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(LedgerUnavailable, match="locked"):
        Ledger.open(path)
    other.close()


@pytest.mark.parametrize("lost", [[""], ["", "-wal", "-shm"], ["-wal"], ["-shm"], ["-wal", "-shm"]])
async def test_a_file_deleted_while_in_use_is_put_back(path: Path, lost: list[str]) -> None:
    """Whatever part is deleted: our open file still has everything; it is written anew, and said as an event."""
    ledger = Ledger.open(path)
    for number in range(100):
        ledger.note(entry(number))
    assert await ledger.flush(5)
    for ending in lost:
        Path(f"{path}{ending}").unlink()
    eventually(lambda: ledger.statistics().restored == 1)
    ledger.note(entry(100))
    assert await ledger.flush(5)
    assert ledger.problem is None and ledger.waiting == 0
    assert numbers(path) == list(range(101)) and mode(path) == 0o600
    assert await ledger.close()
    open_database(path).close()
    assert numbers(path) == list(range(101))


async def test_a_directory_deleted_while_in_use(path: Path) -> None:
    """The directory comes back with the file."""
    ledger = Ledger.open(path)
    ledger.note(entry(1))
    assert await ledger.flush(5)
    for file in path.parent.iterdir():
        file.unlink()
    path.parent.rmdir()
    eventually(lambda: ledger.statistics().restored == 1)
    assert await ledger.close()
    assert numbers(path) == [1]


async def test_a_file_replaced_while_in_use_stays_a_problem(path: Path) -> None:
    """Another file under our name is not ours to touch; nothing is written to it, and nothing is quoted."""
    ledger = Ledger.open(path)
    ledger.note(entry(1))
    assert await ledger.flush(5)
    path.rename(path.with_name("moved"))
    path.write_bytes(b"somebody else's")
    eventually(lambda: ledger.problem is not None)
    assert "replaced" in (ledger.problem or "")
    ledger.note(entry(2))
    assert not await ledger.flush(0.5)
    assert not await ledger.close(0.5)
    assert path.read_bytes() == b"somebody else's"


async def test_a_full_queue(path: Path) -> None:
    """Beyond its capacity the queue is a problem; far beyond it notes are lost, and that stays a problem."""
    ledger = Ledger.open(path, capacity=10)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for number in range(50):
        ledger.note(entry(number))
    assert "behind" in (ledger.problem or "")
    other.execute("ROLLBACK")
    assert await ledger.flush(5)
    assert ledger.problem is None and numbers(path) == list(range(50))
    other.execute("BEGIN IMMEDIATE")
    for number in range(2_000):
        ledger.note(entry(number))
    other.execute("ROLLBACK")
    other.close()
    assert await ledger.flush(5)
    assert "lost" in (ledger.problem or "") and ledger.statistics().lost > 0
    await ledger.close()
