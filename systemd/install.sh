#!/bin/sh
# Installs the daemon of this checkout as a systemd service. Run it as root; run it again to upgrade.
#
#   systemd/install.sh [--root DIR] [--python PYTHON]
#
#   --root DIR        put everything under DIR and leave this machine's systemd alone (for images and tests)
#   --python PYTHON   the Python (3.11 or newer, with venv) that the environment is made of; default: the first that fits
#
# /opt/mm-daemon/releases/ID     an environment for each version, filled from the hash-locked files; the last two stay
# /opt/mm-daemon/.venv           the one in use, a link: a daemon that runs keeps the version that it was started with
# /etc/mm-daemon                 settings; what is there already is never overwritten, a newer default lies beside it as .new
# /etc/mm-daemon/private_key     an empty file for the private key, mode 600
# /etc/systemd/system            the units; not started, not enabled
# /usr/local/sbin/mm-daemon-ctl  runs a command as the service does, with its user, key and state
set -eu

say() { echo "install: $*"; }
die() { echo "install: $*" >&2; exit 1; }

root= python=
while [ $# -gt 0 ]; do
    case $1 in
        --root) root=${2:?--root needs a folder}; shift 2 ;;
        --python) python=${2:?--python needs a program}; shift 2 ;;
        -h | --help) sed -n '2,/^set /p' "$0" | sed '$d; s/^# \{0,1\}//'; exit 0 ;;
        *) die "unknown argument $1, see --help" ;;
    esac
done
[ -n "$root" ] || [ "$(id -u)" = 0 ] || die "must be run as root (or with --root DIR)"
source=$(cd "$(dirname "$0")/.." && pwd)
if [ -n "$root" ]; then
    mkdir -p "$root"
    root=$(cd "$root" && pwd)
fi
opt=$root/opt/mm-daemon etc=$root/etc/mm-daemon units=$root/etc/systemd/system sbin=$root/usr/local/sbin
umask 022

usable() {
    "$1" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    if [ -n "$python" ]; then
        usable "$python" || die "$python is no Python >= 3.11 with venv (on Debian: apt install python3-venv)"
        return
    fi
    for python in /usr/bin/python3 python3 python3.13 python3.12 python3.11; do
        if usable "$python"; then return; fi
    done
    die "no Python >= 3.11 with venv found (on Debian: apt install python3-venv); name one with --python"
}

# What a release is made of, as one word: the same checkout and Python make the same release.
fingerprint() {
    (
        cd "$source"
        "$python" -VV
        find mm_daemon pyproject.toml requirements.lock requirements-build.lock \
            -name __pycache__ -prune -o -type f -print | LC_ALL=C sort | xargs sha256sum
    ) | sha256sum | cut -c 1-12
}

# In place and under its final name, for an environment cannot be moved; complete once the mark is there.
make_release() {
    release=$opt/releases/$(fingerprint)
    if [ -e "$release/.complete" ]; then
        say "$release is up to date"
        return
    fi
    say "making $release with $python"
    rm -rf "$release"
    mkdir -p "$opt/releases"
    "$python" -m venv "$release"
    copy=$(mktemp -d)
    cp -R "$source/pyproject.toml" "$source/README.md" "$source/LICENSE" "$source/mm_daemon" "$copy"
    install_into "$release" "$copy" || { rm -rf "$copy" "$release"; die "the environment could not be made"; }
    rm -rf "$copy"
    touch "$release/.complete"
}

install_into() {
    pip="$1/bin/python -m pip --quiet --disable-pip-version-check --no-input install"
    # shellcheck disable=SC2086 # the words of a command
    $pip --require-hashes -r "$source/requirements.lock" -r "$source/requirements-build.lock" \
        && $pip --no-deps --no-build-isolation --no-index "$2"
}

# One rename, so that the link names a whole release at any moment.
use_release() {
    if [ -e "$opt/.venv" ] && [ ! -L "$opt/.venv" ]; then
        die "$opt/.venv is a folder and not a link to a release: move it away"
    fi
    ln -sfn "${release#"$root"}" "$opt/.venv.next"
    mv -T "$opt/.venv.next" "$opt/.venv"
    touch "$release/.complete"
    ls -dt "$opt"/releases/*/.complete | tail -n +3 | while read -r mark; do
        say "removing ${mark%/.complete}"
        rm -rf "${mark%/.complete}"
    done
}

install_settings() {
    (cd "$source/config" && find . -type f -name '*.toml') | sed 's|^\./||' | while read -r file; do
        mkdir -p "$(dirname "$etc/$file")"
        if [ ! -e "$etc/$file" ]; then
            cp "$source/config/$file" "$etc/$file"
        elif cmp -s "$source/config/$file" "$etc/$file"; then
            rm -f "$etc/$file.new"
        else
            cp "$source/config/$file" "$etc/$file.new"
            say "$etc/$file is kept; the defaults of this version are in $file.new"
        fi
    done
    [ -e "$etc/private_key" ] || (umask 077 && : >"$etc/private_key")
    chmod 600 "$etc/private_key"
}

install_units() {
    mkdir -p "$units"
    for unit in mm-daemon.service mm-daemon@.service; do
        cp "$source/systemd/$unit" "$units/$unit"
        chmod 644 "$units/$unit"
    done
    mkdir -p "$sbin"
    cp "$source/systemd/mm-daemon-ctl" "$sbin/mm-daemon-ctl"
    chmod 755 "$sbin/mm-daemon-ctl"
    if [ -z "$root" ] && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
}

find_python
make_release
use_release
install_settings
install_units

cat <<'NEXT'
installed. What to do next (docs/deploy.md says more):
  1. settings    /etc/mm-daemon/mm-daemon.toml and /etc/mm-daemon/strategies/; they begin in mode = "sim": no key, no money
  2. try it      systemctl start mm-daemon; systemctl status mm-daemon; journalctl -fu mm-daemon
  3. the key     into /etc/mm-daemon/private_key (mode 600), then mode = "live" and --live as mm-daemon.service says
  4. look        mm-daemon-ctl doctor
  5. for good    systemctl enable --now mm-daemon; after an upgrade: systemctl restart mm-daemon
NEXT
