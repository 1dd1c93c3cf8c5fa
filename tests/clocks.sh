#!/bin/sh
# Run a command where libfaketime is: Debian's package, which is installed if it is missing.
set -eu
if ! ls /usr/lib/*/faketime/libfaketime.so.1 >/dev/null 2>&1; then
    if [ "$(id -u)" -ne 0 ]; then
        echo "test-clock needs libfaketime (Debian: the package libfaketime)" >&2
        exit 1
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends libfaketime >/dev/null
fi
exec "$@"
