"""Installations to measure read servers with, written in raw SQL as the owner."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from core.auth.api_keys import KeyKind, digest, generate
from tests.benchmarks.bench_flags import kinds_of, rulesets
from tests.support.installations import Installation


@contextmanager
def owner_change(installation: Installation) -> Iterator["psycopg.Connection[Any]"]:
    """A change, committed at the end."""
    with psycopg.connect(installation.owner_url.reveal()) as connection:
        connection.execute("SELECT flagctl.begin_owner_change('default', 'bench', 'bench')")
        yield connection


def add_key(installation: Installation, environment: str) -> str:
    """A server's."""
    key = generate(KeyKind.SERVER, installation.environment_id(environment))
    with owner_change(installation) as connection:
        connection.execute(
            "INSERT INTO flagctl.api_keys (organization_id, environment_id, name, kind, digest)"
            " SELECT 1, id, 'bench', 'server', %s FROM flagctl.environments WHERE key = %s",
            [digest(key), environment],
        )
    return key


def add_flags(installation: Installation, count: int) -> None:
    """Flags of the measured kinds, with their rules in prod."""
    made = list(rulesets(kinds_of(count)))
    with owner_change(installation) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO flagctl.flags (organization_id, key, type, variants, on_variant,"
            " off_variant, default_enabled, salt) VALUES (1, %s, 'boolean', %s, 'on', 'off', true,"
            " %s)",
            [(flag.key, json.dumps(flag.variants), flag.salt) for flag in made],
        )
        cursor.executemany(
            "INSERT INTO flagctl.overrides (organization_id, flag_id, environment_id, enabled,"
            " targeting) SELECT 1, f.id, e.id, true, %s FROM flagctl.flags f,"
            " flagctl.environments e WHERE f.key = %s AND e.key = 'prod'",
            [(json.dumps(flag.targeting), flag.key) for flag in made if flag.targeting],
        )
