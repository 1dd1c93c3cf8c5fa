"""Everything that `flagctl doctor` looks at, in its order."""

import os
from collections.abc import Iterator

from core import settings as sources
from core.errors import FlagctlError
from core.settings import Settings
from flagctl.doctor import caches, postgres
from flagctl.doctor.checks import Check, ok, wrong


def examine(context: str | None) -> Iterator[Check]:
    """The settings first: without them there is nothing else to look at."""
    try:
        directory = sources.current_directory()
        settings = sources.load(os.environ, directory, context=context)
    except FlagctlError as error:
        yield wrong("settings", error.message.replace("\n ", ""), error.hint or "correct them")
        return
    yield from _settings(settings)
    yield from postgres.examine(settings)
    yield from caches.examine(settings)


def _settings(settings: Settings) -> Iterator[Check]:
    addresses = ("database_url", "reader_database_url", "owner_database_url")
    if all(getattr(settings, name) is None for name in addresses):
        mend = "set FLAGCTL_DATABASE_URL; `flagctl dev` makes a complete installation to try"
        yield wrong("settings", "no address of Postgres is set", mend)
    for warning in settings.warnings:
        yield wrong("settings", warning, "`chmod go-w` it, if it is your own")
    if not settings.warnings:
        places = sorted({source.name for source in settings.sources.values()})
        yield ok("settings", f"from {', '.join(places) or 'nowhere'}")
