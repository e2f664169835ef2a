#!/bin/sh
# Makes the secret files that compose.yaml mounts, in deploy/secrets. What is there already stays as it is.
#
#   sudo deploy/make-secrets.sh              the token of the HTTP server and Grafana's password, both random
#   sudo deploy/make-secrets.sh KEY_FILE     and a copy of the wallet's private key, for live trading
#
# Containers get such files with the owner and mode that they have here, so each belongs to the user that reads it inside:
# 10001 the daemon, 65534 Prometheus, 472 Grafana. Nobody else on this machine can read them but root.
set -eu
umask 077

die() { echo "make-secrets: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || die "must be root: the files belong to the users of three containers"
folder=$(cd "$(dirname "$0")" && pwd)/secrets
mkdir -p "$folder"

# put NAME OWNER: standard input becomes the file, complete or not at all.
put() {
    cat >"$folder/.$1.new"
    chown "$2:$2" "$folder/.$1.new"
    chmod 400 "$folder/.$1.new"
    mv "$folder/.$1.new" "$folder/$1"
    echo "made deploy/secrets/$1"
}

random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }

[ -e "$folder/http_token" ] || random | put http_token 10001
# The same token again: a file that two users may read is one that the daemon refuses.
cmp -s "$folder/http_token" "$folder/prometheus_token" || put prometheus_token 65534 <"$folder/http_token"
[ -e "$folder/grafana_password" ] || random | put grafana_password 472

if [ $# -gt 0 ]; then
    [ -f "$1" ] || die "no file $1"
    [ ! -e "$folder/private_key" ] || die "deploy/secrets/private_key is there already: remove it first"
    put private_key 10001 <"$1"
fi
