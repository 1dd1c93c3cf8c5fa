"""The read servers that are up, by what they say of themselves in Redis."""

from typing import TYPE_CHECKING, Any

from flagctl import tables
from flagctl.state import current

if TYPE_CHECKING:
    from core.cache.receipts import Receipt
    from core.queries.environments import EnvironmentVersion


def readers() -> None:
    """List the read servers that are up, and what they serve.

    Those that hold an environment of the organization, or none at all yet. Their own words, from
    Redis: who writes there can make some up. One that stops without a word is listed for seven
    seconds more.

    \b
    flagctl readers
    flagctl readers -o json
    """
    from core.cache.receipts import live_readers
    from core.queries.environments import environment_versions
    from flagctl.asking_redis import ask

    here = current()
    address = here.settings.require("redis_url")
    with here.reading() as session:
        epoch, environments = environment_versions(session)
    ids = [environment.id for environment in environments]
    found = [
        _document(receipt, environments)
        for receipt in ask(address, lambda client: live_readers(client, ids))
        # Others are another installation's in the same Redis, or serve other organizations alone.
        if receipt.serves or (receipt.epoch == epoch and not receipt.holds)
    ]
    found.sort(key=lambda reader: (reader["host"], reader["pid"]))
    here.show({"readers": found}, lambda: _print(found))


def _document(receipt: "Receipt", environments: list["EnvironmentVersion"]) -> dict[str, Any]:
    serves = receipt.serves
    return {
        "host": receipt.host,
        "pid": receipt.pid,
        "version": receipt.version,
        "stale": receipt.age_seconds is None,
        "age_seconds": receipt.age_seconds,
        "revisions": {e.key: serves[e.id].revision for e in environments if e.id in serves},
        "behind": [e.key for e in environments if e.id in serves and not _is_current(serves, e)],
    }


def _is_current(serves: Any, environment: "EnvironmentVersion") -> bool:
    served = serves[environment.id]
    return bool(served.is_at_least(environment.epoch, environment.revision, environment.stamp))


def _print(found: list[dict[str, Any]]) -> None:
    def revisions(reader: dict[str, Any]) -> str:
        return ", ".join(
            f"{key} {revision}{' (behind)' if key in reader['behind'] else ''}"
            for key, revision in reader["revisions"].items()
        )

    def age(reader: dict[str, Any]) -> str:
        return "stale" if reader["stale"] else f"{reader['age_seconds']:.1f} s"

    tables.draw(
        found,
        [
            ("host", lambda reader: reader["host"]),
            ("pid", lambda reader: reader["pid"]),
            ("version", lambda reader: reader["version"]),
            ("age", age),
            ("revisions", revisions),
        ],
        empty="no reader is up, or none reaches this Redis",
    )
