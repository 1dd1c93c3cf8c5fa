#!/bin/sh
# Run a command where PgBouncer is: Debian's package, which is installed if it is missing.
set -eu
PATH=$PATH:/usr/sbin
if ! command -v pgbouncer >/dev/null; then
    if [ "$(id -u)" -ne 0 ]; then
        echo "test-pooler needs PgBouncer (Debian: the package pgbouncer)" >&2
        exit 1
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends pgbouncer >/dev/null
fi
exec "$@"
