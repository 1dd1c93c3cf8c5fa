"""What a bulk answer says of streams, over half-days and keys."""

import json
from dataclasses import replace
from typing import Any

from core.auth.api_keys import KeyKind, digest
from core.auth.stream_urls import HALF_DAY
from core.snapshot.document import Auth
from readserver import context_answers
from readserver.announcements import Announcements
from readserver.answers import prepare
from readserver.context_answers import BULK
from tests.support.snapshots import CLIENT_KEY, KEY, snapshot

SNAPSHOT = replace(snapshot(), auth=Auth(snapshot().auth.keys, b"s" * 32))
SERVER, CLIENT = (SNAPSHOT.auth.keys[digest(key)] for key in (KEY, CLIENT_KEY))


class World:
    def __init__(self, public_url: str | None = None) -> None:
        self.now = 41_205.0 * HALF_DAY
        self.announcements = Announcements(public_url, lambda: self.now)

    def said(self) -> bytes:
        return self.announcements.of(SNAPSHOT, CLIENT)


def document(member: bytes) -> Any:
    return json.loads(b"{" + member[1:] + b"}")["eventStreams"]


def test_the_same_for_a_half_day() -> None:
    world = World()
    first = world.said()
    world.now += HALF_DAY - 1
    assert world.said() is first, "it is finished once"
    assert world.announcements.of(snapshot(2, auth=SNAPSHOT.auth), CLIENT) is first
    assert world.announcements.of(SNAPSHOT, SERVER) != first
    world.now += 1
    assert world.said() != first


def test_relative_to_the_origin_or_to_a_public_address() -> None:
    (here,) = document(World().said())
    (there,) = document(World("https://flags.example.com/eu").said())
    target = here["endpoint"]["requestUri"]
    assert target.startswith("/v1/stream?token=0123456789abcdef.bbbb.41205.")
    assert here.keys() == {"type", "endpoint", "inactivityDelaySec"}
    assert there["url"] == f"https://flags.example.com/eu{target}"
    assert "endpoint" not in there


def test_a_bulk_answer_is_joined_and_its_tag_knows_the_address() -> None:
    world = World()
    prepared = prepare(SNAPSHOT)
    streams = world.said()
    body = json.loads(context_answers.body(BULK, prepared, KeyKind.CLIENT, {}, streams))
    assert body.keys() == {"flags", "metadata", "eventStreams"}
    assert body["eventStreams"] == document(streams)

    def tag(route: str = BULK, said: bytes = streams) -> bytes:
        return context_answers.etag(route, prepared, KeyKind.CLIENT, {}, said)

    before = tag()
    world.now += HALF_DAY
    assert tag(said=world.said()) != before
    assert tag() == before
    assert tag("/v1/flags", b"") != before
