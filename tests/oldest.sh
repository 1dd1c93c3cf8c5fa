#!/bin/sh
# Run a command with FLAGCTL_TEST_DATABASE_URL and FLAGCTL_TEST_REDIS_URL naming Debian's
# postgresql-15 and redis-server, started for it in a temporary folder and stopped after it.
set -eu
postgres=/usr/lib/postgresql/15/bin

if [ ! -x "$postgres/initdb" ] || ! command -v redis-server >/dev/null; then
    if [ "$(id -u)" -ne 0 ]; then
        echo "test-oldest needs Debian's packages postgresql-15 and redis-server" >&2
        exit 1
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
        postgresql-15 redis-server >/dev/null
fi

home=$(mktemp -d /tmp/flagctl-oldest-XXXXXX)
redis=
as_server=
if [ "$(id -u)" -eq 0 ]; then
    chown postgres "$home"
    as_server="setpriv --reuid postgres --regid postgres --clear-groups"
fi
stop() {
    [ -z "$redis" ] || kill "$redis" 2>/dev/null || true
    $as_server "$postgres/pg_ctl" -D "$home/data" -m immediate stop >/dev/null 2>&1 || true
    rm -rf "$home"
}
trap stop EXIT
trap 'exit 130' INT TERM

cd "$home"
password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
printf '%s\n' "$password" >"$home/password"
chmod 644 "$home/password"
$as_server "$postgres/initdb" -D "$home/data" -U postgres --auth=scram-sha-256 \
    --pwfile="$home/password" --no-locale --encoding=UTF8 --no-sync >/dev/null
rm "$home/password"
$as_server "$postgres/pg_ctl" -D "$home/data" -l "$home/log" -w -o \
    "-c listen_addresses='' -c unix_socket_directories=$home -c fsync=off -c max_connections=200" \
    start >/dev/null
printf '%s\n' "requirepass $password" "port 0" "unixsocket $home/redis.sock" 'save ""' \
    "dir $home" >"$home/redis.conf"
redis-server - <"$home/redis.conf" >"$home/redis.log" 2>&1 &
redis=$!
rm "$home/redis.conf"
until [ -S "$home/redis.sock" ]; do
    kill -0 "$redis"
    sleep 0.05
done

FLAGCTL_TEST_DATABASE_URL="postgresql://postgres:$password@/postgres?host=$home"
FLAGCTL_TEST_REDIS_URL="unix://:$password@$home/redis.sock"
export FLAGCTL_TEST_DATABASE_URL FLAGCTL_TEST_REDIS_URL
cd "$OLDPWD"
"$@"
