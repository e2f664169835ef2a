#!/usr/bin/env bash
# Exercises a built image as an operator would run it and prints PASS or FAIL for each claim; exit code 1 if one failed.
#
#   tests/docker/exercise.sh IMAGE [PROGRAM]       PROGRAM is docker (the default) or podman; run it from anywhere
#
# Nothing is installed and no registry is asked. The venue of the live part is the built-in exchange in a container of its
# own, outside the daemon's, and says itself which orders rest. Everything made here is removed at the end.
set -uo pipefail

image=${1:?usage: exercise.sh IMAGE [PROGRAM]}
engine=${2:-docker}
config=/etc/mm-daemon/mm-daemon.toml
# As in compose.yaml.
hardened=(--read-only --tmpfs "/tmp:size=16m,mode=1777,noexec,nosuid,nodev" --cap-drop ALL
    --security-opt no-new-privileges --memory 1g --pids-limit 128)
names=mm-exercise-$$
failures=0

clean() {
    for part in sim open exchange live; do "$engine" rm --force --volumes "$names-$part" >/dev/null 2>&1; done
    "$engine" volume rm --force "$names-etc" "$names-state" >/dev/null 2>&1
}
trap clean EXIT
trap 'exit 130' INT TERM

# claim WHAT COMMAND...: COMMAND's exit code decides.
claim() {
    local what=$1
    shift
    if "$@"; then echo "PASS  $what"; else
        echo "FAIL  $what"
        failures=$((failures + 1))
    fi
}

# within SECONDS COMMAND...: true as soon as COMMAND is.
within() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.2
    done
}

not() { ! "$@"; }
is() { [ "$1" = "$2" ] || { echo "      got $1, not $2"; return 1; }; }
ask() { "$engine" exec "$1" mm-daemon "${@:2}" --config "$config"; }
inside() { "$engine" run --rm --interactive --entrypoint python "$@"; }

is_over() { [ "$("$engine" inspect --format '{{.State.Running}}' "$1")" = false ]; }

# logged NAME EVENT TIMES: the log has the event at least so often.
logged() { [ "$("$engine" logs "$1" 2>&1 | grep -c "\"event\":\"$2\"")" -ge "$3" ]; }

# The image's own HEALTHCHECK: podman runs it when told to, docker in its own time. Without it the rest means nothing.
is_healthy() {
    case $("$engine" --version) in
    podman*) "$engine" healthcheck run "$1" ;;
    *) [ "$("$engine" inspect --format '{{.State.Health.Status}}' "$1")" = healthy ] ;;
    esac
}
healthcheck_passes() {
    within 90 is_healthy "$1" && return
    "$engine" logs "$1" 2>&1 | tail -n 5
    echo "FAIL  HEALTHCHECK passes"
    exit 1
}

# stops NAME: SIGTERM as `stop` sends it; the code is the daemon's own and the time is its own.
stops() {
    local began code
    began=$(date +%s%N)
    "$engine" stop -t 30 "$1" >/dev/null
    echo "      stopped in $((($(date +%s%N) - began) / 1000000)) ms"
    code=$("$engine" inspect --format '{{.State.ExitCode}}' "$1")
    is "$code" 0
}

echo "== the built-in exchange beside the daemon: no network, no key, read-only root"
"$engine" run --detach --name "$names-sim" --network none "${hardened[@]}" "$image" >/dev/null || exit 2
claim "HEALTHCHECK passes" healthcheck_passes "$names-sim"
claim "it does not run as root" is "$("$engine" exec "$names-sim" id -u)" 10001
claim "the root file system cannot be written" not "$engine" exec "$names-sim" sh -c ': >/opt/mm-daemon/x' 2>/dev/null
quotes() {
    "$engine" exec --interactive "$names-sim" python - <<'PYTHON' | grep -q '^mm_daemon_orders_accepted_total [1-9]'
import urllib.request
print(urllib.request.urlopen("http://127.0.0.1:9464/metrics", timeout=5).read().decode())
PYTHON
}
claim "it quotes on the built-in exchange" within 30 quotes
claim "status answers beside it" within 10 ask "$names-sim" status
claim "SIGTERM: exit code 0" stops "$names-sim"
claim "the stop was verified" sh -c "$engine logs $names-sim 2>&1 | grep stopped | grep -q exit_code"

echo "== the settings of compose.yaml's profile sim: reachable from outside, with the token only"
"$engine" volume create "$names-etc" >/dev/null
sim=$(cd "$(dirname "$0")/../../deploy/sim" && pwd)
prepare() { inside --user 0:0 --network none --volume "$names-etc:/made" --volume "$sim:/sim:ro" "$image" -; }
token=$(prepare <<'PYTHON'
import os, pathlib, secrets, shutil
made = pathlib.Path("/made")
for name in ("mm-daemon.toml", "liquidity_provision.toml"):
    shutil.copy(f"/sim/{name}", made / name)
    (made / name).chmod(0o644)
made.chmod(0o755)
token = made / "http_token"
token.write_text(secrets.token_hex(32))
token.chmod(0o400)
os.chown(token, 10001, 10001)
print(token.read_text())
PYTHON
)
"$engine" run --rm "${hardened[@]}" --network none --volume "$names-etc:/etc/mm-daemon:ro" "$image" >/dev/null 2>&1
claim "every address without a token is refused with exit code 2" is $? 2
"$engine" run --detach --name "$names-open" "${hardened[@]}" --publish 127.0.0.1::9464 \
    --env MM_HTTP_TOKEN_FILE=/etc/mm-daemon/http_token --volume "$names-etc:/etc/mm-daemon:ro" "$image" >/dev/null
address=$("$engine" port "$names-open" 9464/tcp | head -n 1)
# http CODE PATH [TOKEN]: the answer to a request from the host has this status.
http() {
    inside --network host "$image" - "$@" "$address" <<'PYTHON'
import sys, urllib.error, urllib.request
code, path, *token, address = sys.argv[1:]
request = urllib.request.Request(f"http://{address}{path}", headers={"Authorization": f"Bearer {t}" for t in token})
try:
    status = urllib.request.urlopen(request, timeout=5).status
except urllib.error.HTTPError as error:
    status = error.code
sys.exit(str(status) != code)
PYTHON
}
claim "HEALTHCHECK passes" healthcheck_passes "$names-open"
claim "/healthz answers through the published port" http 200 /healthz
claim "it gets ready" within 60 http 200 /readyz
claim "/metrics refuses a request without the token" http 401 /metrics
claim "/metrics answers with it" http 200 /metrics "$token"
"$engine" kill --signal HUP "$names-open" >/dev/null
claim "SIGHUP reads the settings again" within 20 logged "$names-open" reloaded 1
claim "SIGTERM: exit code 0" stops "$names-open"

echo "== live, against an exchange in another container, with a key made for this run"
"$engine" run --detach --name "$names-exchange" --no-healthcheck --network host "$image" exchange >/dev/null || exit 2
venue_url() { "$engine" logs "$names-exchange" 2>&1 | sed -n 's/^listening on //p' | grep http; }
claim "the exchange listens" within 30 venue_url
wallet=$(inside --user 0:0 --network host --volume "$names-etc:/made" "$image" - "$(venue_url)" <<'PYTHON'
import os, pathlib, secrets, socket, sys
from eth_account import Account
url, made = sys.argv[1], pathlib.Path("/made")
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
key = made / "private_key"
key.write_text(secrets.token_hex(32))
key.chmod(0o400)
os.chown(key, 10001, 10001)
(made / "mm-daemon.toml").write_text(f"""
mode = "live"
strategy = "liquidity_provision.toml"
[venue]
clob_url = "{url}"
gamma_url = "{url}/gamma"
data_url = "{url}/data-api"
market_ws_url = "{url.replace("http", "ws", 1)}/ws/market"
user_ws_url = "{url.replace("http", "ws", 1)}/ws/user"
[wallet]
signature_type = 0
[http]
port = {port}
[log]
format = "json"
""")
strategy = made / "liquidity_provision.toml"
strategy.write_text('[strategy]\nmarkets = ["demo-1", "demo-2"]\n')
print(Account.from_key(key.read_text()).address)
PYTHON
)
# resting: how many orders of the daemon's wallet the exchange has, by its own account.
resting() {
    "$engine" exec --interactive "$names-exchange" python - "$(venue_url)" "$wallet" <<'PYTHON'
import json, sys, urllib.request
url, wallet = sys.argv[1:]
wallets = json.load(urllib.request.urlopen(f"{url}/_sim/state", timeout=5))["wallets"]
print(sum(len(held["open_orders"]) for address, held in wallets.items() if address.lower() == wallet.lower()))
PYTHON
}
rests() { [ "$(resting)" -gt 0 ]; }
key=$(inside --user 0:0 --network none --volume "$names-etc:/made:ro" "$image" -c 'print(open("/made/private_key").read())')
live=(--network host "${hardened[@]}" --volume "$names-etc:/etc/mm-daemon:ro" --volume "$names-state:/var/lib/mm-daemon"
    --env MM_PRIVATE_KEY_FILE=/etc/mm-daemon/private_key)
"$engine" run --rm "${live[@]}" "$image" >/dev/null 2>&1
claim 'mode = "live" without --live is refused with exit code 2' is $? 2
"$engine" run --detach --name "$names-live" "${live[@]}" "$image" run --config "$config" --live >/dev/null || exit 2
claim "HEALTHCHECK passes" healthcheck_passes "$names-live"
claim "the exchange has orders of ours" within 60 rests
echo "      $(resting) orders rest"
claim "the key is in no log" not grep -q "$key" <("$engine" logs "$names-live" 2>&1)
claim "the key is in nothing that inspect shows" not grep -q "$key" <("$engine" inspect "$names-live")
claim "SIGTERM: exit code 0" stops "$names-live"
claim "the exchange has no order of ours" is "$(resting)" 0

"$engine" start "$names-live" >/dev/null
claim "started again on the same state it quotes" within 60 rests
"$engine" kill --signal KILL "$names-live" >/dev/null
claim "it can be killed" within 10 is_over "$names-live"
"$engine" start "$names-live" >/dev/null
claim "started again after the kill it gets ready" within 60 logged "$names-live" started 3
claim "it quotes" within 60 rests
claim "SIGTERM: exit code 0" stops "$names-live"
claim "the exchange has no order of ours" is "$(resting)" 0

echo "== image: $("$engine" image inspect --format '{{.Size}}' "$image") bytes; $failures failed"
[ "$failures" = 0 ]
