#!/usr/bin/env bash
# Exercises the installed units under a real systemd and prints PASS or FAIL for each claim; exit code 1 if one failed.
#
#   UNIT=mm-daemon.service tests/systemd/exercise.sh        as root, after systemd/install.sh, on a machine to throw away
#
# The venue is the built-in exchange in a process of its own, so that it outlives the daemon and says which orders rest.
# Settings, drop-ins and the state of the unit are replaced: where a private key is installed, it refuses to run.
set -uo pipefail

unit=${UNIT:-mm-daemon.service}
second=mm-daemon@second.service
here=$(cd "$(dirname "$0")" && pwd)
etc=/etc/mm-daemon
python=/opt/mm-daemon/.venv/bin/python
port=18080
exchange=mm-exercise-exchange
run=/run/mm-exercise
watchdog=6
failures=0

[ "$(id -u)" = 0 ] || { echo "must be run as root" >&2; exit 2; }
[ -d /run/systemd/system ] || { echo "systemd does not run here" >&2; exit 2; }
[ -x "$python" ] || { echo "nothing is installed: systemd/install.sh" >&2; exit 2; }
if [ -s "$etc/private_key" ] && [ ! -e "$etc/.exercise" ]; then
    echo "$etc/private_key holds a key: this is no machine to throw away" >&2
    exit 2
fi

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
        sleep 0.1
    done
}

note() { echo "      $*"; }
not() { ! "$@"; }
is() { [ "$1" = "$2" ] || { note "got '$1', not '$2'"; return 1; }; }
holds() { case $1 in *"$2"*) ;; *) note "no '$2' in: $1"; return 1 ;; esac; }
less() { [ "$1" -lt "$2" ] || { note "$1 is not below $2"; return 1; }; }
now_ms() { echo $(($(date +%s%N) / 1000000)); }

prop() { systemctl show --property "$1" --value "${2:-$unit}"; }
state_is() { [ "$(prop ActiveState "${2:-$unit}")" = "$1" ]; }
restarted() { [ "$(prop NRestarts)" -gt "$1" ] && state_is active; }
status_has() { case $(prop StatusText "${2:-$unit}") in *"$1"*) ;; *) return 1 ;; esac; }
main_pid() { prop MainPID; }
mark() { date '+%Y-%m-%d %H:%M:%S.%N' | cut -c 1-26; }
# journal SINCE: the daemon's own lines; told SINCE: what systemd says of the unit.
journal() { journalctl --sync; journalctl --no-pager --output cat --unit "$unit" --since "$1"; }
# Whole texts are searched and no pipes: grep that leaves early would break one, and look like a failure.
logged() { grep -q "$2" <<<"$(journal "$1")"; }
# heard SINCE: what PID 1, which logs it while it debugs, was told by the daemon; one message a line.
heard() { journalctl --sync; journalctl --no-pager --output cat _PID=1 --since "$1" | grep "^$unit: Got notification message"; }
was_told() { grep -q "$2" <<<"$(heard "$1")"; }

# What the exchange has of our account: one order id a line.
orders() {
    "$python" - "$port" "${1:-$account}" <<'PY'
import json, sys, urllib.request
with urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/_sim/state", timeout=5) as answer:
    wallets = json.load(answer)["wallets"]
for order in {key.lower(): wallet for key, wallet in wallets.items()}.get(sys.argv[2], {"open_orders": []})["open_orders"]:
    print(order["id"])
PY
}
# An exchange that does not answer proves nothing, whatever is claimed of its orders.
quotes() { local ids; ids=$(orders "${1:-$account}") && [ "$(grep -c . <<<"$ids")" -ge 2 ]; }
quotes_two() { local ids; ids=$(orders) && is "$(grep -c . <<<"$ids")" 2; }
none_rests() { local ids; ids=$(orders "${1:-$account}") && is "$ids" ""; }
none_of() { local ids; ids=$(orders) && [ -n "$1" ] && ! grep -qxF "$1" <<<"$ids"; }

new_key() {
    "$python" -c 'from eth_account import Account; a = Account.create(); print(a.key.hex().removeprefix("0x"), a.address.lower())'
}

# settings FILE MODE SPREAD HTTP_PORT MARKET: both files of one daemon.
settings() {
    cat >"$etc/$1.toml" <<TOML
mode = "$2"
strategy = "strategies/$1.toml"
[venue]
clob_url = "http://127.0.0.1:$port"
gamma_url = "http://127.0.0.1:$port/gamma"
data_url = "http://127.0.0.1:$port/data-api"
market_ws_url = "ws://127.0.0.1:$port/ws/market"
user_ws_url = "ws://127.0.0.1:$port/ws/user"
[wallet]
signature_type = 0
[log]
format = "json"
[http]
port = $4
TOML
    cat >"$etc/strategies/$1.toml" <<TOML
name = "hanging_strategy"
[strategy]
markets = ["$5"]
base_spread_pct = $3
order_size_usd = 25
max_position_usd = 250
max_total_position_usd = 1000
inventory_skew_factor = 0.02
refresh_interval_secs = 1
TOML
}

drop_in() {
    mkdir -p "/etc/systemd/system/$1.d"
    cat >"/etc/systemd/system/$1.d/exercise.conf"
    systemctl daemon-reload
}

install_strategy() {
    local site
    site=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    cp "$here/hanging_strategy.py" "$site/hanging_strategy.py"
    mkdir -p "$site/hanging_strategy-1.dist-info"
    printf 'Metadata-Version: 2.1\nName: hanging-strategy\nVersion: 1\n' >"$site/hanging_strategy-1.dist-info/METADATA"
    printf '[mm_daemon.strategies]\nhanging_strategy = hanging_strategy:HangingStrategy\n' \
        >"$site/hanging_strategy-1.dist-info/entry_points.txt"
}

set_up() {
    mkdir -p "$run" "$etc/strategies"
    touch "$etc/.exercise"
    install_strategy
    read -r key account < <(new_key)
    read -r key2 account2 < <(new_key)
    (umask 077 && echo "$key" >"$etc/private_key" && echo "$key2" >"$etc/second.key")
    settings mm-daemon live 0.02 9464 demo-1
    settings second live 0.02 9465 demo-2
    drop_in "$unit" <<CONF
[Service]
Environment=MM_DAEMON_OPTIONS=--live
WatchdogSec=$watchdog
RestartSec=1
CONF
    drop_in "$second" <<CONF
[Service]
Environment=MM_DAEMON_OPTIONS=--live
CONF
    systemctl log-level debug
    systemd-run --quiet --unit "$exchange" /opt/mm-daemon/.venv/bin/mm-daemon exchange --port "$port" --markets 3 \
        || exit 2
    within 30 orders || { echo "the exchange did not start" >&2; exit 2; }
}

clean() {
    rm -f "$run/hang"
    systemctl stop "$unit" "$second" "$exchange" 2>/dev/null
    systemctl log-level info
    rm -rf "$run" "/run/systemd/system/$unit.d" "/etc/systemd/system/$unit.d/exercise.conf" "/etc/systemd/system/$second.d/exercise.conf"
    rm -f "$etc/private_key" "$etc/second.key" "$etc/.exercise"
    (umask 077 && : >"$etc/private_key")
    systemctl daemon-reload
}

# --- the claims ---------------------------------------------------------------------------------------------------

a_start() {
    local since began took
    since=$(mark) began=$(now_ms)
    claim "start: systemctl returns when the daemon is ready" systemctl start "$unit"
    took=$(($(now_ms) - began))
    if ! state_is active; then
        journal "$since" | tail -20
        echo "FAIL  without a start there is nothing to exercise"
        exit 1
    fi
    note "start to READY: $took ms"
    claim "ready means started, feeds up, orders and trades read" ready_was_earned "$since"
    claim "systemd heard READY=1 once, and more time was asked for before it" ready_was_told "$since"
    claim "it quotes" within 15 quotes
    claim "it feeds the watchdog" within 15 was_told "$since" WATCHDOG=1
    claim "status line tells markets, orders, position and result" within 15 status_has "live: quoting 1 of 1 markets, 2 orders"
    note "Status: $(prop StatusText)"
    claim "journal has one JSON object a line, with levels" journal_is_json "$since"
    claim "journal knows the levels of the lines" grep -q quoting_held <<<"$(journalctl --no-pager --output cat --unit "$unit" --since "$since" --priority warning)"
    claim "the key is in no line of the journal" not logged "$since" "$key"
    claim "the key is in no environment and no command line" key_is_hidden
    claim "own user, no capability, no new privileges, system calls filtered" is_confined
    claim "no core dump" grep -q '^Max core file size *0 ' "/proc/$(main_pid)/limits"
}

ready_was_earned() {
    status_has "not read yet" && return 1
    status_has "socket is down" && return 1
    logged "$1" '"event":"started"'
}

ready_was_told() {
    local messages
    messages=$(heard "$1")
    is "$(grep -c 'READY=1' <<<"$messages")" 1 && grep -q EXTEND_TIMEOUT_USEC= <<<"${messages%%READY=1*}"
}

journal_is_json() {
    journal "$1" | grep '^{' | "$python" -c '
import json, sys
lines = [json.loads(line) for line in sys.stdin]
assert len(lines) > 3 and all(line["level"] and line["event"] and line["timestamp"] for line in lines)'
}

key_is_hidden() {
    local process=/proc/$(main_pid)
    ! grep -qF "$key" "$process/environ" && ! grep -qF "$key" "$process/cmdline"
}

is_confined() {
    local status
    status=$(cat "/proc/$(main_pid)/status")
    grep -q 'NoNewPrivs:.1' <<<"$status" && grep -q 'Seccomp:.2' <<<"$status" && grep -q 'CapEff:.0000000000000000' <<<"$status" \
        && ! grep -q '^Uid:.0' <<<"$status"
}

a_reload() {
    local since pid
    since=$(mark) pid=$(main_pid)
    settings mm-daemon live 0.06 9464 demo-1
    claim "reload of good settings: accepted" systemctl reload "$unit"
    claim "reload of good settings: in force" within 5 logged "$since" 'base_spread_pct.*setting_changed'
    claim "reload: RELOADING=1 with the time, then READY=1" within 5 reload_was_told "$since"
    settings mm-daemon live -1 9464 demo-1
    systemctl reload "$unit"
    claim "reload of bad settings: the status says why" within 5 status_has "reload refused: "
    note "Status: $(prop StatusText)"
    claim "reload of bad settings: the same process runs on" is "$(main_pid) $(prop ActiveState)" "$pid active"
    claim "reload of bad settings: it still quotes" within 10 quotes
    settings mm-daemon live 0.02 9464 demo-1
    systemctl reload "$unit"
    claim "the next good reload clears the status" within 10 status_forgets_refusal
}

reload_was_told() {
    local messages
    messages=$(heard "$1")
    grep -q 'MONOTONIC_USEC=' <<<"$messages" && grep -q READY=1 <<<"${messages#*RELOADING=1}"
}
status_forgets_refusal() { status_has "quoting" && ! status_has "refused"; }

a_pause() {
    claim "mm-daemon-ctl reaches the running daemon" mm-daemon-ctl pause --reason exercise
    claim "a person's pause pulls the quotes" within 10 none_rests
    claim "a pause does not keep the service from becoming ready" timeout 60 systemctl restart "$unit"
    claim "the status says that it is paused" within 10 status_has "halted, pause"
    mm-daemon-ctl resume >/dev/null
    claim "after resume it quotes" within 10 quotes
}

# killed HOW WHAT: after HOW the service is restarted, and what the dead daemon left is gone.
killed() {
    local how=$1 what=$2 since began count old
    within 15 quotes
    since=$(mark) began=$(now_ms) count=$(prop NRestarts) old=$(orders | head -1)
    "$how"
    claim "$what: restarted by systemd" within 60 restarted "$count"
    note "dead or hung to ready again: $(($(now_ms) - began)) ms"
    [ "$how" = kill_it ] || claim "$what: it was the watchdog" logged "$since" "Watchdog timeout"
    claim "$what: the dead daemon's orders are gone" none_of "$old"
    claim "$what: the new daemon quotes, and nothing but its own" within 15 quotes_two
}

hang_it() {
    touch "$run/hang"
    within 60 logged "$since" "Watchdog timeout"
    rm -f "$run/hang"
}
freeze_it() { kill -STOP "$(main_pid)"; }
kill_it() { kill -KILL "$(main_pid)"; }

# The venue's own dead-man switch, while nobody restarts the daemon.
a_death_for_good() {
    drop_in "$unit" <<CONF
[Service]
Environment=MM_DAEMON_OPTIONS=--live
Restart=no
CONF
    within 15 quotes
    kill_it
    claim "killed and not restarted: the venue cancels within 20 s" within 20 none_rests
    drop_in "$unit" <<CONF
[Service]
Environment=MM_DAEMON_OPTIONS=--live
WatchdogSec=$watchdog
RestartSec=1
CONF
    systemctl reset-failed "$unit" 2>/dev/null
    systemctl start "$unit"
}

a_slow_venue() {
    systemctl stop "$unit"
    systemctl kill --kill-whom main --signal STOP "$exchange"
    systemctl start --no-block "$unit"
    sleep 5
    claim "a venue that does not answer: not ready" not state_is active
    note "state $(prop ActiveState), Status: $(prop StatusText)"
    systemctl kill --kill-whom main --signal CONT "$exchange"
    claim "ready once the venue answers" within 90 state_is active
    claim "and quotes" within 15 quotes
}

a_venue_without_sockets() {
    systemctl stop "$unit"
    sed -i 's|^user_ws_url.*|user_ws_url = "ws://127.0.0.1:9/ws/user"|' "$etc/mm-daemon.toml"
    mkdir -p "/run/systemd/system/$unit.d"
    printf '[Service]\nTimeoutStartSec=10\n' >"/run/systemd/system/$unit.d/hurry.conf"
    systemctl daemon-reload
    systemctl start --no-block "$unit"
    claim "a venue whose sockets are shut: the status says so" within 20 status_has "the user socket is down"
    sleep 20
    claim "and it is waited for, beyond the start's own limit" is "$(prop ActiveState) $(prop NRestarts)" "activating 0"
    claim "and nothing is quoted meanwhile" none_rests
    note "state $(prop ActiveState), Status: $(prop StatusText)"
    claim "and it can be stopped" systemctl stop "$unit"
    rm -rf "/run/systemd/system/$unit.d"
    systemctl daemon-reload
    settings mm-daemon live 0.02 9464 demo-1
    systemctl start "$unit"
}

a_stop() {
    local since began
    within 15 quotes
    since=$(mark) began=$(now_ms)
    claim "stop: systemctl returns 0" systemctl stop "$unit"
    note "stop: $(($(now_ms) - began)) ms"
    claim "stop: systemd heard STOPPING=1" was_told "$since" STOPPING=1
    claim "stop: no order rests at the exchange" none_rests
    claim "stop: exit code 0, verified" logged "$since" '"exit_code":0,"meaning":"stopped"'
    claim "stop: nothing had to be killed" not logged "$since" 'timed out\|SIGKILL'
    claim "stop: the unit is inactive, not failed" state_is inactive
    claim "while it is stopped: its ledger can be read" ctl_says "" status
    claim "while it is stopped: doctor finds nothing wrong with key and state" doctor_likes_it
    claim "while it is stopped: smoke places, sees and cancels an order" ctl_says "" smoke --live --market demo-1
    claim "the service can use what they left" systemctl start "$unit"
    systemctl stop "$unit"
}

# ctl_says INSTANCE COMMAND...: exit code of a command run as the service does; its words where it failed.
ctl_says() {
    local words
    words=$(mm-daemon-ctl ${1:+-i "$1"} "${@:2}" 2>&1) || { note "$words"; return 1; }
}

# What it says of the machine around (its clock, say) is not ours to judge.
doctor_likes_it() {
    local words
    words=$(mm-daemon-ctl doctor 2>&1)
    ! grep -iE '^ *fail' <<<"$words" | grep -iE 'key|state|ledger|lock' && [ -n "$words" ]
}

a_wrong_config() {
    local since
    since=$(mark)
    settings mm-daemon live -1 9464 demo-1
    claim "wrong settings: the start fails" not systemctl start "$unit"
    sleep 3
    claim "wrong settings: exit code 2 is not restarted" is "$(prop ActiveState) $(prop ExecMainStatus) $(prop NRestarts)" "failed 2 0"
    claim "wrong settings: the journal says what is wrong" logged "$since" base_spread_pct
    settings mm-daemon live 0.02 9464 demo-1
    systemctl reset-failed "$unit"
}

a_pair() {
    claim "two daemons: both start" systemctl start "$unit" "$second"
    claim "two daemons: both quote, each its own wallet" within 20 both_quote
    claim "two daemons: different users" not is_same_user
    claim "two daemons: a command reaches the one that is named" ctl_says second reconcile
    claim "two daemons: both stop" systemctl stop "$unit" "$second"
    claim "two daemons: nothing rests of either" none_rests "$account"
    claim "two daemons: nothing rests of either (second)" none_rests "$account2"
}

both_quote() { quotes "$account" && quotes "$account2"; }
user_of() { awk '/^Uid:/ { print $2 }' "/proc/$(prop MainPID "$1")/status"; }
is_same_user() { [ "$(user_of "$unit")" = "$(user_of "$second")" ]; }

a_simulation() {
    local since
    drop_in "$unit" </dev/null
    : >"$etc/private_key"
    settings mm-daemon sim 0.02 9464 demo-1
    since=$(mark)
    claim "mode = \"sim\" with an empty key file: starts as shipped" systemctl start "$unit"
    claim "sim: the exchange is a child of the daemon, confined as it is" child_is_confined
    claim "sim: it quotes" within 20 status_has "sim: quoting 1 of 1 markets, 2 orders"
    note "Status: $(prop StatusText)"
    claim "sim: stops" systemctl stop "$unit"
    claim "sim: exit code 0" logged "$since" '"exit_code":0,"meaning":"stopped"'
    claim "sim: the child is gone too" not pgrep -f 'mm_daemon exchange --ready-json'
}

child_is_confined() {
    local child
    child=$(pgrep --parent "$(main_pid)" --full 'mm_daemon exchange --ready-json') || return 1
    grep -q 'Seccomp:.2' "/proc/$child/status" && ! grep -q '^Uid:.0' "/proc/$child/status"
}

a_second_install() {
    local link inode
    link=$(readlink /opt/mm-daemon/.venv) inode=$(stat -c %i "$link/.complete")
    echo "# a person's remark" >>"$etc/strategies/liquidity_provision.toml"
    echo secret >"$etc/private_key"
    claim "installing again: works without a network" "$here/../../systemd/install.sh"
    claim "installing again: the same release" is "$(readlink /opt/mm-daemon/.venv) $(stat -c %i "$link/.complete")" "$link $inode"
    claim "installing again: changed settings are kept" grep -q "person's remark" "$etc/strategies/liquidity_provision.toml"
    claim "installing again: the new defaults lie beside them" test -e "$etc/strategies/liquidity_provision.toml.new"
    claim "installing again: the key is as it was, mode 600" is "$(cat "$etc/private_key") $(stat -c %a "$etc/private_key")" "secret 600"
}

trap clean EXIT
trap 'exit 130' INT TERM
set_up
a_start
a_reload
a_pause
killed hang_it "a strategy that hangs"
killed freeze_it "a process that is frozen (SIGSTOP)"
killed kill_it "a process that is killed (SIGKILL)"
a_death_for_good
a_slow_venue
a_venue_without_sockets
a_stop
a_wrong_config
a_pair
a_simulation
a_second_install
echo "$failures failed"
[ "$failures" = 0 ]
