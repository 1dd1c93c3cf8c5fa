"""Who asks, and for which environment: the same for every public path."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from starlette.types import Scope

from core.auth import stream_urls
from core.auth.api_keys import KeyKind, ParsedKey
from core.errors import ForbiddenError, InvalidInputError, UnauthenticatedError
from core.names import check_environment_key
from core.snapshot.document import KeyGrant, Snapshot
from readserver import auth, queries
from readserver.answers import Header
from readserver.provider import Found, Provider
from readserver.rate_limit import ClientLimit
from readserver.stream_events import revision_in


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request with a good key: its environment's answers, and what the key may see."""

    found: Found
    grant: KeyGrant
    digest: bytes  # the key's
    credential: bytes
    ends_at: float = float("inf")  # seconds since 1970: when the credential ends before its key

    @property
    def limited(self) -> bytes | None:
        """The digest of a key whose rate is limited."""
        return self.digest if self.grant.kind is KeyKind.CLIENT else None


async def admit(provider: Provider, limit: ClientLimit, scope: Scope) -> Admitted:
    """Counts a client key's request. Raises HTTPException (429), UnauthenticatedError,
    ForbiddenError (a key of another environment) and UnavailableError (nothing to serve)."""
    credential = auth.credential(scope["headers"])
    wrong = provider.counts.wrong_keys
    with _counted(wrong, "malformed"):
        key = auth.parse(credential)
    found = await provider.get(key.environment_id)
    snapshot = found.prepared.snapshot if found is not None else None
    with _counted(wrong, "environment" if snapshot is None else "secret"):
        grant = auth.authenticate(key, snapshot)
    assert found is not None  # noqa: S101 - authenticate() refuses without a snapshot
    return _admitted(Admitted(found, grant, key.digest, credential), limit, scope)


async def admit_stream(provider: Provider, limit: ClientLimit, scope: Scope) -> Admitted:
    """As `admit`, also by the token of an announced address. No other path takes one."""
    text = queries.parse(scope["query_string"]).get("token")
    if text is None:
        return await admit(provider, limit, scope)
    if any(name in auth.CREDENTIAL_HEADERS for name, _ in scope["headers"]):
        raise UnauthenticatedError("there is a token and an API key", hint="send one of them")
    token = stream_urls.parse(text)
    if token is None:
        raise UnauthenticatedError("the token is malformed", hint=auth.STREAM_HINT)
    found = await provider.get(token.environment_id)
    snapshot = found.prepared.snapshot if found is not None else None
    digest, grant = auth.authenticate_stream(token, snapshot)
    assert found is not None  # noqa: S101 - as above
    return _admitted(Admitted(found, grant, digest, b"", token.ends_at), limit, scope)


async def caught_up(provider: Provider, admitted: Admitted, known: str | None) -> Admitted:
    """The same, with what the client heard of from another server if that is ahead of this one;
    `known` is the id of the last event that it has. Raises UnauthenticatedError."""
    revision = revision_in(known) if known is not None else None
    if revision is None:
        return admitted
    found = await provider.at_least(admitted.found, revision)
    # What is newer may be what revoked the key: that it was good before says nothing here.
    environment_id = admitted.found.prepared.snapshot.environment_id
    key = ParsedKey(admitted.grant.kind, environment_id, admitted.digest)
    with _counted(provider.counts.wrong_keys, "secret"):
        grant = auth.authenticate(key, found.prepared.snapshot if found is not None else None)
    assert found is not None  # noqa: S101 - else there is no grant
    return replace(admitted, found=found, grant=grant)


def _admitted(admitted: Admitted, limit: ClientLimit, scope: Scope) -> Admitted:
    if admitted.limited is not None:
        limit.check(admitted.limited, scope)
    _check_environment(scope["query_string"], admitted.found.prepared.snapshot)
    return admitted


@contextmanager
def _counted(wrong_keys: Counter[str], kind: str) -> Iterator[None]:
    try:
        yield
    except UnauthenticatedError:
        wrong_keys[kind] += 1
        raise


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
