"""What stands in deploy/, compose.yaml and the Dockerfile agrees with the daemon and with itself."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from mm_daemon import __version__
from mm_daemon.app import STOP_SECS
from mm_daemon.config import load_config
from mm_daemon.ops.metrics import names
from mm_daemon.plugins import load_strategy_settings

from .docker.expressions import DASHBOARD, DEPLOY, ROOT, RULES, RULES_TEST, dashboard, dashboard_expressions, metrics_in

FROM_THE_CLIENT_LIBRARY = {
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
}
COMPOSE = (ROOT / "compose.yaml").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize("file", [DASHBOARD, RULES, RULES_TEST], ids=lambda file: file.name)
def test_only_metrics_that_the_daemon_has_are_asked_for(file: Path) -> None:
    """A panel or a rule that names a metric which does not exist would be silent for ever."""
    asked = metrics_in(file.read_text())
    assert asked
    assert asked - names().keys() - FROM_THE_CLIENT_LIBRARY == set()


def test_the_dashboard_asks_for_labels_that_its_metrics_have() -> None:
    """Every label in a legend is one of the metrics of its query, or of what the query sums by."""
    for panel in dashboard()["panels"]:
        for query in panel.get("targets", ()):
            known = {"alertname", "alertstate"} if "ALERTS" in query["expr"] else set()
            for metric in metrics_in(query["expr"]) & names().keys():
                known |= set(names()[metric][1])
            assert set(re.findall(r"{{(\w+)}}", query["legendFormat"])) <= known, panel["title"]


def test_rates_are_of_counters() -> None:
    """rate() and increase() of a gauge mean nothing."""
    asked = [expression for _, expression in dashboard_expressions()] + [RULES.read_text()]
    rated = {name for text in asked for name in re.findall(r"(?:rate|increase)\((\w+)", text)}
    kinds = {name: names()[name][0] for name in rated - FROM_THE_CLIENT_LIBRARY if not name.endswith("_bucket")}
    assert kinds
    assert set(kinds.values()) == {"counter"}


def test_grafana_finds_what_it_is_given() -> None:
    """The panels name the provisioned source, and the dashboard lies where its provider and compose.yaml say."""
    provisioned = DEPLOY / "grafana/provisioning"
    source = re.search(r"uid: (\S+)", (provisioned / "datasources/prometheus.yml").read_text())
    folder = re.search(r"path: (\S+)", (provisioned / "dashboards/mm-daemon.yml").read_text())
    assert source is not None
    assert folder is not None
    assert {panel["datasource"]["uid"] for panel in dashboard()["panels"] if panel["type"] != "row"} == {source[1]}
    assert f"./deploy/grafana/dashboards:{folder[1]}:ro" in COMPOSE
    assert f"DASHBOARD_PATH: {folder[1]}/{DASHBOARD.name}" in COMPOSE


def test_panels_do_not_overlap() -> None:
    """Every panel has an id of its own and a place of its own on the grid of 24 columns."""
    panels = dashboard()["panels"]
    taken: set[tuple[int, int]] = set()
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def test_the_settings_of_the_profile_sim_are_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They load with the token that compose.yaml hands over, and name markets that the built-in exchange has."""
    token = tmp_path / "http_token"
    token.write_text("0123456789abcdef0123456789abcdef")
    token.chmod(0o400)
    monkeypatch.setenv("MM_HTTP_TOKEN_FILE", str(token))
    config = load_config(DEPLOY / "sim/mm-daemon.toml")
    plugin, settings = load_strategy_settings(config)
    assert config.mode == "sim"
    assert set(plugin(settings).markets) == {f"demo-{number + 1}" for number in range(config.sim.markets)}


def test_compose_publishes_on_loopback_only() -> None:
    """No port is open to the network."""
    ports = re.findall(r"ports: \[(.*)\]", COMPOSE)
    assert len(ports) == 3
    assert all(re.fullmatch(r'"127\.0\.0\.1:\d+:\d+"', port) for port in ports)


def test_compose_leaves_the_stop_its_time() -> None:
    """The daemon verifies that nothing rests before anybody kills it."""
    grace = re.search(r"stop_grace_period: (\d+)s", COMPOSE)
    assert grace is not None
    assert int(grace[1]) >= 2 * STOP_SECS


def test_compose_builds_this_version() -> None:
    """An upgrade makes a new image beside the old one, which a step back needs; other images have full versions."""
    images = dict(re.findall(r"image: (\S+):(\S+)", COMPOSE))
    assert images.pop("mm-daemon") == __version__
    assert images.keys() == {"prom/prometheus", "grafana/grafana"}
    assert all(re.fullmatch(r"v?\d+\.\d+\.\d+", tag) for tag in images.values())


def test_every_file_that_compose_mounts_is_there_or_made() -> None:
    """A path that is missing would become an empty folder in the container."""
    made = {"./deploy/live", *(f"./deploy/secrets/{name}" for name in ("private_key", "http_token"))}
    made |= {f"./deploy/secrets/{name}" for name in ("prometheus_token", "grafana_password")}
    mounted = set(re.findall(r"(?:- |file: )(\./[^:\s]+)", COMPOSE))
    assert made < mounted
    assert all((ROOT / path).exists() for path in mounted - made)
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert "/deploy/secrets/" in ignored
    assert "/deploy/live/" in ignored


def test_no_secret_gets_into_the_image() -> None:
    """The build context lists what goes in, and nothing under deploy/ is on the list."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines[0] == "*"
    assert not [line for line in lines if line.startswith("!deploy")]


def test_the_image_runs_as_an_exec_form_command_without_rights() -> None:
    """A shell as first process would keep SIGTERM to itself, and the orders would stay."""
    for word in ("ENTRYPOINT", "CMD"):
        commands = re.findall(rf"^\s*{word} (.*)$", DOCKERFILE, re.MULTILINE)
        assert commands
        assert all(command.startswith('["') for command in commands)
    assert "USER 10001:10001" in DOCKERFILE
    assert "STOPSIGNAL SIGTERM" in DOCKERFILE


def test_secrets_are_made_once_and_for_their_readers_only(tmp_path: Path) -> None:
    """The token is the same for both its readers, nobody else can read anything, and a second run changes nothing."""
    if os.getuid() != 0:
        pytest.skip("only root can give files to other users")
    script = tmp_path / "deploy/make-secrets.sh"
    script.parent.mkdir()
    shutil.copy(DEPLOY / "make-secrets.sh", script)
    key = tmp_path / "key"
    key.write_text("11" * 32)
    subprocess.run([script, key], check=True, capture_output=True)
    made = {file.name: file for file in (tmp_path / "deploy/secrets").iterdir()}
    owners = {"http_token": 10001, "prometheus_token": 65534, "grafana_password": 472, "private_key": 10001}
    assert {name: file.stat().st_uid for name, file in made.items()} == owners
    assert {stat.S_IMODE(file.stat().st_mode) for file in made.values()} == {0o400}
    assert made["private_key"].read_text() == key.read_text()
    contents = {name: file.read_text() for name, file in made.items()}
    assert contents["http_token"] == contents["prometheus_token"] != contents["grafana_password"]
    assert len(contents["http_token"]) == 64
    subprocess.run([script], check=True, capture_output=True)
    again = subprocess.run([script, key], check=False, capture_output=True, text=True)
    assert again.returncode == 1
    assert "remove it first" in again.stderr
    assert {name: file.read_text() for name, file in made.items()} == contents


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
def test_rules_fire_on_what_they_are_for() -> None:
    """Prometheus' own tool finds the rules sound, and tests/docker/rules.test.yml right about them."""
    for command in (["check", "rules", str(RULES)], ["test", "rules", str(RULES_TEST)]):
        done = subprocess.run(["promtool", *command], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_is_tested() -> None:
    """Each alert has a series that sets it off in tests/docker/rules.test.yml."""
    alerts = set(re.findall(r"alert: (\w+)", RULES.read_text()))
    assert alerts == set(re.findall(r'alertname="(\w+)"', RULES_TEST.read_text()))
