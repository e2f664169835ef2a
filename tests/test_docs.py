"""The documentation names what there is: settings, commands, files."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
import typer.main

from mm_daemon import config
from mm_daemon.cli import app
from mm_daemon.strategies.liquidity_provision import LiquidityProvisionConfig

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TABLES: dict[str, type[msgspec.Struct]] = {
    "[venue]": config.VenueSettings,
    "[wallet]": config.WalletSettings,
    "[risk]": config.RiskSettings,
    "[state]": config.StateSettings,
    "[log]": config.LogSettings,
    "[http]": config.HttpSettings,
    "[alerts]": config.AlertSettings,
    "[sim]": config.SimSettings,
    "[strategy]": LiquidityProvisionConfig,
}
COMMANDS = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("table", TABLES)
def test_every_setting_is_documented_and_stands_in_the_shipped_files(table: str) -> None:
    """A key that one cannot read about is a key that nobody sets right."""
    section = (ROOT / "docs/configuration.md").read_text().partition(f"`{table}`")[2].partition("\n##")[0]
    shipped = "".join(
        (ROOT / "config" / name).read_text() for name in ("mm-daemon.toml", "strategies/liquidity_provision.toml")
    )
    for key in TABLES[table].__struct_fields__:
        assert f"`{key}`" in section, f"{table} {key} is not in docs/configuration.md"
        assert re.search(rf"^(# )?{key} = ", shipped, re.MULTILINE), f"{table} {key} is in no shipped file"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_links_lead_somewhere(document: Path) -> None:
    """Every link to a file of the project names one that exists."""
    for target in re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", document.read_text()):
        assert (document.parent / target).exists(), f"{document.name} links to {target}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_commands_that_are_named_exist(document: Path) -> None:
    """`mm-daemon something` in a document is a command."""
    named = set(re.findall(r"(?<![/\w-])mm-daemon ([a-z][a-z-]+)(?= (?:--|`)|`)", document.read_text()))
    assert named <= COMMANDS, f"{document.name} names {named - COMMANDS}"
