"""Who asks, and for which environment: the same for every public path."""

from dataclasses import dataclass

from starlette.types import Scope

from core.auth.api_keys import KeyKind
from core.errors import ForbiddenError, InvalidInputError
from core.names import check_environment_key
from core.snapshot.document import KeyGrant, Snapshot
from readserver import auth, queries
from readserver.answers import Header
from readserver.provider import Found, Provider
from readserver.rate_limit import ClientLimit
from readserver.truth import Truth


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request with a good key: its environment's answers, and what the key may see."""

    found: Found
    grant: KeyGrant
    credential: bytes
    limited: bytes | None  # the digest of a key whose rate is limited


async def admit(provider: Provider, limit: ClientLimit, scope: Scope) -> Admitted:
    """Counts a client key's request. Raises HTTPException (429), UnauthenticatedError,
    ForbiddenError (a key of another environment) and UnavailableError (nothing to serve)."""
    credential = auth.credential(scope["headers"])
    key = auth.parse(credential)
    found = await provider.get(key.environment_id)
    snapshot = found.prepared.snapshot if found is not None else None
    grant = auth.authenticate(key, snapshot)
    assert found is not None  # noqa: S101 - authenticate() refuses without a snapshot
    limited = key.digest if grant.kind is KeyKind.CLIENT else None
    if limited is not None:
        limit.check(limited, scope)
    _check_environment(scope["query_string"], found.prepared.snapshot)
    return Admitted(found, grant, credential, limited)


def staleness(truth: Truth) -> tuple[Header, ...]:
    """The headers of an answer whose source cannot be reached."""
    if truth.is_reachable:
        return ()
    age = str(int(truth.age_seconds)).encode()
    return ((b"age", age), (b"flagctl-stale", b"true"))


def joined(headers: list[Header], wanted: bytes) -> bytes | None:
    """A field's lines as one list, as HTTP says; None when there is none."""
    values = [value for name, value in headers if name == wanted]
    return b",".join(values) if values else None


def _check_environment(query_string: bytes, snapshot: Snapshot) -> None:
    wanted = queries.parse(query_string).get("environment") if query_string else None
    if wanted is None or wanted == snapshot.key:
        return
    try:
        check_environment_key(wanted)
    except InvalidInputError as error:
        raise InvalidInputError(f"environment: {error.message}", hint=error.hint) from None
    raise ForbiddenError(
        f"this API key is not for the environment {wanted!r}",
        hint="a key belongs to one environment; leave `environment` out, or use its key",
    )
