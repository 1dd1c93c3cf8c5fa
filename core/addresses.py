"""Addresses of Postgres, made safe. Apart from core.db, which takes long to import."""

import os
from ipaddress import ip_address
from typing import Any

import psycopg
from psycopg import conninfo

from core.errors import InvalidInputError
from core.settings import Secret

_ADDRESS = (
    "it looks like postgresql://user:password@host:5432/database,"
    " with special characters of the password percent-encoded"
)


def parameters(url: Secret) -> dict[str, Any]:
    """A libpq address as its parts, made safe: a remote host is verified unless the address says,
    and of several hosts the primary is meant.

    Raises InvalidInputError without repeating the address: it holds a password.
    """
    try:
        parts: dict[str, Any] = dict(conninfo.conninfo_to_dict(url.reveal()))
    except psycopg.ProgrammingError:
        raise InvalidInputError("the database address cannot be read", hint=_ADDRESS) from None
    named = [parts.get(n) or os.environ.get(f"PG{n.upper()}", "") for n in ("host", "hostaddr")]
    hosts = [host for names in named for host in str(names).split(",")]
    ports = str(parts.get("port", "")).split(",")
    # Half a password, when a character of it was not encoded: libpq would repeat it in its error.
    if any("@" in host[1:] for host in hosts) or any(p and not p.isdigit() for p in ports):
        raise InvalidInputError("the database address cannot be read", hint=_ADDRESS) from None
    if "sslmode" not in parts and not all(is_local(host) for host in hosts):
        parts["sslmode"] = "verify-full"
        parts.setdefault("sslrootcert", "system")
    if len(hosts) > len(named):  # of several, the one that takes writes; a standby is behind
        parts.setdefault("target_session_attrs", "read-write")
    return parts


def is_local(host: str) -> bool:
    """Whether it is this machine: a socket, or a loopback address."""
    if not host or host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
