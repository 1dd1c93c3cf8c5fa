"""The one place time comes from."""

from datetime import UTC, datetime


def now() -> datetime:
    """The wall clock, in UTC."""
    return datetime.now(UTC)


def in_utc(moment: datetime | None) -> datetime | None:
    """What Postgres gives is in the session's zone. Moments are printed, and part of tags: whoever
    asks must not matter."""
    return moment.astimezone(UTC) if moment is not None else None
