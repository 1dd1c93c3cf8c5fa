"""What Postgres writes into its log: tokens are parameters of statements, and must not be there."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import psycopg

from core.db import translated
from flagctl.doctor.checks import Check, ok, wrong

# What makes it log statements that succeed, and what says that it does not.
_LOGS_STATEMENTS: Final = {
    "log_statement": ("none", "ddl", "mod"),
    "log_min_duration_statement": ("-1",),
    "log_min_duration_sample": ("-1",),
    "log_transaction_sample_rate": ("0",),
}
_EXPLAINS: Final = "auto_explain.log_min_duration"
# How much of the parameters goes along; 0 is nothing, and -1 all of it.
_OF_STATEMENTS: Final = "log_parameter_max_length"
_OF_ERRORS: Final = "log_parameter_max_length_on_error"
_OF_PLANS: Final = "auto_explain.log_parameter_max_length"
_AUDITS: Final = "pgaudit.log"
_OF_AUDITS: Final = "pgaudit.log_parameter"
_NAMES: Final = (
    *(*_LOGS_STATEMENTS, _EXPLAINS, _OF_STATEMENTS, _OF_ERRORS, _OF_PLANS),
    *(_AUDITS, _OF_AUDITS),
)


def examine(connection: psycopg.Connection[Any], check: str) -> Iterator[Check]:
    """As they are for this login in this database; `check` is what it is called."""
    with translated():
        rows = connection.execute(
            "SELECT name, setting FROM pg_settings WHERE name = ANY (%s)", [list(_NAMES)]
        ).fetchall()
    yield from judge(dict(rows), check)


def judge(settings: Mapping[str, str], check: str = "logs") -> Iterator[Check]:
    """One finding for each setting that lets tokens into the log."""
    reasons = [
        f"{name} = {settings[name]}"
        for name, harmless in _LOGS_STATEMENTS.items()
        if settings.get(name, harmless[0]) not in harmless
    ]
    found: list[tuple[str, str]] = []
    if reasons and settings.get(_OF_STATEMENTS, "0") != "0":
        found.append((f"{reasons[0]} prints the parameters of statements", _OF_STATEMENTS))
    if settings.get(_OF_ERRORS, "0") != "0":
        found.append((f"{_OF_ERRORS} prints them when a statement fails", _OF_ERRORS))
    if settings.get(_EXPLAINS, "-1") != "-1" and settings.get(_OF_PLANS, "-1") != "0":
        found.append((f"{_EXPLAINS} prints them with each plan", _OF_PLANS))
    if settings.get(_AUDITS, "none") != "none" and settings.get(_OF_AUDITS, "off") != "off":
        found.append((f"{_OF_AUDITS} prints them with what pgaudit logs", _OF_AUDITS))
    for what, setting in found:
        value = "off" if setting == _OF_AUDITS else "0"
        mend = f"ALTER SYSTEM SET {setting} = {value}; SELECT pg_reload_conf()"
        yield wrong(check, f"{what}, tokens among them", mend)
    if not found:
        yield ok(check, "Postgres prints no parameters, so no tokens")
