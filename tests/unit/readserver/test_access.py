"""A request that names a revision which is newer than what is held, and its key meanwhile."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from core.auth.api_keys import KeyKind, digest
from core.errors import UnauthenticatedError
from core.snapshot.document import Auth, KeyGrant
from readserver.access import Admitted, admit, caught_up
from readserver.client_address import ClientAddresses
from readserver.rate_limit import ClientLimit
from tests.support.providers import World, world_test
from tests.support.snapshots import KEY, snapshot

NEWER = "2-" + "0" * 16  # the id of an event
PAST, FUTURE = datetime(2020, 1, 1, tzinfo=UTC), datetime(2999, 1, 1, tzinfo=UTC)


async def admitted(world: World) -> Admitted:
    limit = ClientLimit(rate=1, burst=1, addresses=ClientAddresses(()))
    headers = [(b"authorization", KEY.encode())]
    return await admit(world.provider, limit, {"headers": headers, "query_string": b""})


def come_to(world: World, *grants: KeyGrant) -> None:
    """A change of the key is committed in Postgres, and no reader was told."""
    auth = Auth({digest(KEY): grant for grant in grants})
    world.postgres.snapshot = replace(snapshot(2), auth=auth)


@pytest.mark.parametrize(
    "grants",
    [
        (),
        (KeyGrant("aaaa", KeyKind.CLIENT, None),),
        (KeyGrant("aaaa", KeyKind.SERVER, PAST),),
    ],
    ids=["revoked", "of another kind", "expired"],
)
def test_a_key_that_is_not_good_any_more_gets_nothing_newer(grants: tuple[KeyGrant, ...]) -> None:
    @world_test
    async def test(world: World) -> None:
        before = await admitted(world)
        come_to(world, *grants)
        with pytest.raises(UnauthenticatedError, match="unknown, revoked or expired"):
            await caught_up(world.provider, before, NEWER)
        assert world.counts.wrong_keys == {"secret": 1}

    test()


@world_test
async def test_the_grant_is_that_of_what_is_served(world: World) -> None:
    before = await admitted(world)
    come_to(world, KeyGrant("aaaa", KeyKind.SERVER, FUTURE))
    after = await caught_up(world.provider, before, NEWER)
    assert (after.found.prepared.snapshot.revision, after.grant.expires_at) == (2, FUTURE)
    assert await caught_up(world.provider, after, "nonsense") is after


@world_test
async def test_a_key_of_an_environment_that_is_gone_gets_nothing(world: World) -> None:
    before = await admitted(world)
    world.postgres.snapshot = None
    with pytest.raises(UnauthenticatedError, match="unknown, revoked or expired"):
        await caught_up(world.provider, before, NEWER)
