"""What start-up takes from the official client, in an interpreter of its own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from mm_daemon.exchange.polymarket.contracts import load_contracts
from mm_daemon.exchange.polymarket.official import official_module

PROGRAM = """
import json, sys
from mm_daemon.exchange.polymarket.contracts import load_contracts
address = load_contracts(137).positions.address
seen = sorted({name.partition(".")[0] for name in sys.modules} & {"eth_account", "httpx", "py_clob_client_v2"})
import py_clob_client_v2
print(json.dumps([address, seen, hasattr(py_clob_client_v2, "ClobClient")]))
"""


def test_the_table_of_contracts_comes_alone() -> None:
    """No wallet library and no HTTP client is imported with it, and the whole client can still be imported after it."""
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(run.stdout) == [load_contracts(137).positions.address, [], True]


def test_a_module_that_does_not_exist() -> None:
    """A client that has changed is an error with a name."""
    with pytest.raises(ImportError):
        official_module("no_such_module")
