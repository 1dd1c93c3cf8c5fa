"""OpenFeature's official JavaScript clients against a read server (`make test-clients`)."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from core.services.api_keys import revoke_key
from tests.support import ofrep_worlds, readers
from tests.support.installations import Cluster
from tests.support.ofrep_worlds import World
from tests.support.waiting import eventually

FOLDER = os.environ.get("FLAGCTL_TEST_CLIENTS", "")
HERE = Path(__file__).parent
GERMAN = {"targetingKey": "u1", "country": "DE", "app_version": "2.3.0"}
OTHER = {"targetingKey": "u1", "country": "PL", "app_version": "2.3.0"}
DEFAULTS: dict[str, Any] = {"boolean": True, "string": "mine", "number": 7, "object": {"mine": 1}}
PROVIDERS = ["server_provider", "web_provider"]

pytestmark = pytest.mark.skipif(
    not FOLDER,
    reason="needs Node and FLAGCTL_TEST_CLIENTS, the folder where npm installed: make test-clients",
)


@dataclass(frozen=True)
class Client:
    """A script in Node that does what it is told, a line at a time."""

    process: "subprocess.Popen[str]"

    def try_to(self, do: str, **more: Any) -> Any:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps({"do": do, **more}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the script has ended"
        return json.loads(line)

    def tell(self, do: str, **more: Any) -> Any:
        answer = self.try_to(do, **more)
        assert "found" in answer, answer
        return answer["found"]

    def ask(self, type_: str, flag: str, context: Any = None) -> Any:
        more = {} if context is None else {"context": context}
        return self.tell("ask", type=type_, flag=flag, default=DEFAULTS[type_], **more)


@contextmanager
def node(name: str, *options: str) -> Iterator[Client]:
    command = ["node", *options, str(HERE / f"{name}.mjs")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=FOLDER, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield Client(process)
        finally:
            process.kill()


@contextmanager
def started(
    name: str,
    world: World,
    *options: str,
    key: str | None = None,
    context: Any = GERMAN,
    **more: Any,
) -> Iterator[Client]:
    """A client that is ready; a web client has its context for good, as a browser does."""
    with node(name, *options) as client:
        settings = {"url": world.url, "pollInterval": 0} | more
        client.tell("start", key=key or world.server_key, context=context, **settings)
        yield client


@pytest.fixture(scope="module")
def world(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Nothing changes it."""
    with ofrep_worlds.running(cluster, tmp_path_factory.mktemp("reader")) as running:
        yield running


def asked(name: str, client: Client, type_: str, flag: str, context: Any = GERMAN) -> Any:
    """A server gives its context with each question."""
    return client.ask(type_, flag, context if name == "server_provider" else None)


@pytest.mark.parametrize("name", PROVIDERS)
def test_values_of_every_type(world: World, name: str) -> None:
    with started(name, world) as client:
        found = asked(name, client, "string", "checkout_layout")
        metadata = found["flagMetadata"]
        assert found["value"] == found["variant"] == "compact"
        assert found["reason"] == "TARGETING_MATCH"
        assert metadata["revision"] == world.installation.revisions()["prod"]
        assert metadata["environment"] == "prod"
        assert metadata["rule"] == "beta"
        off = asked(name, client, "boolean", "off")
        assert (off["value"], off["variant"], off["reason"]) == (False, "off", "DISABLED")
        assert asked(name, client, "boolean", "new_checkout")["reason"] == "SPLIT"
        assert asked(name, client, "string", "large")["value"] == "x" * 2_000
        assert asked(name, client, "number", "number")["value"] == 10
        assert asked(name, client, "number", "integer")["value"] == 2**70
        whole = asked(name, client, "object", "object")
        assert (whole["value"], whole["variant"]) == ({"größe": [1, 1]}, "on")
        assert whole["reason"] == "STATIC"


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_context_that_no_rule_matches(world: World, name: str) -> None:
    with started(name, world, context=OTHER) as client:
        found = asked(name, client, "string", "checkout_layout", OTHER)
        assert (found["value"], found["variant"], found["reason"]) == (
            *("classic", "classic"),
            "DEFAULT",
        )
        assert "rule" not in found["flagMetadata"]


@pytest.mark.parametrize("name", PROVIDERS)
def test_errors_give_the_default(world: World, name: str) -> None:
    context = {"country": "DE"}
    with started(name, world, context=context) as client:
        for type_, flag, code in (
            ("boolean", "nope", "FLAG_NOT_FOUND"),
            ("boolean", "no/where", "FLAG_NOT_FOUND"),
            ("boolean", "new_checkout", "TARGETING_KEY_MISSING"),
            ("boolean", "checkout_layout", "TYPE_MISMATCH"),
            ("string", "number", "TYPE_MISMATCH"),
        ):
            found = asked(name, client, type_, flag, context)
            assert (found["value"], found["reason"]) == (DEFAULTS[type_], "ERROR"), flag
            assert found["errorCode"] == code, flag
        assert asked(name, client, "boolean", "off", context)["value"] is False


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_wrong_key_gives_the_default(world: World, name: str) -> None:
    with node(name) as client:
        settings = {"url": world.url, "context": GERMAN, "pollInterval": 0}
        answer = client.try_to("start", key="nonsense", **settings)
        assert ("raised" in answer) == (name == "web_provider")
        found = asked(name, client, "boolean", "off")
        assert (found["value"], found["reason"]) == (True, "ERROR")
        expected = "GENERAL" if name == "server_provider" else "PROVIDER_FATAL"
        assert found["errorCode"] == expected


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_base_address_with_a_slash(world: World, name: str) -> None:
    with started(name, world, url=f"{world.url}/") as client:
        assert asked(name, client, "string", "checkout_layout")["value"] == "compact"


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_client_key_sees_what_is_client_visible(world: World, name: str) -> None:
    with started(name, world, key=world.client_key) as client:
        assert asked(name, client, "boolean", "off")["value"] is False
        hidden = asked(name, client, "string", "checkout_layout")
        assert (hidden["value"], hidden["errorCode"]) == ("mine", "FLAG_NOT_FOUND")


def test_another_context_gives_other_values_in_spite_of_the_old_tag(world: World) -> None:
    with started("web_provider", world) as client:
        assert client.ask("string", "checkout_layout")["value"] == "compact"
        client.tell("context", context=OTHER)
        assert client.ask("string", "checkout_layout")["value"] == "classic"
        first, second = client.tell("requests")
        assert first["tag"]
        assert second["said"] == first["tag"]
        assert second["status"] == 200
        assert second["tag"] != first["tag"]
        client.tell("context", context=dict(reversed(OTHER.items())))
        third = client.tell("requests")[-1]
        assert (third["said"], third["status"]) == (second["tag"], 304)
        assert client.ask("string", "checkout_layout")["value"] == "classic"


def test_polling_finds_a_change(cluster: Cluster, tmp_path: Path) -> None:
    with (
        ofrep_worlds.running(cluster, tmp_path) as world,
        started("web_provider", world, key=world.client_key, pollInterval=50) as client,
    ):
        assert client.ask("boolean", "off")["value"] is False
        eventually(
            lambda: any(r["status"] == 304 for r in client.tell("requests")),
            "a poll that finds nothing new",
        )
        assert client.ask("boolean", "off")["value"] is False
        revision = readers.switch(world.installation, "on", key="off")
        question = {"type": "boolean", "flag": "off", "default": False, "value": True}
        found = client.tell("until", **question)
        assert (found["variant"], found["flagMetadata"]["revision"]) == ("on", revision)


def test_a_web_client_follows_its_stream(cluster: Cluster, tmp_path: Path) -> None:
    """It does not poll. Node has the EventSource of browsers behind an option."""
    with (
        ofrep_worlds.running(cluster, tmp_path) as world,
        started(
            "web_provider", world, "--experimental-eventsource", key=world.client_key
        ) as client,
    ):
        eventually(lambda: world.reader.metric("flagctl_streams") == 1, "it listens")
        first = client.ask("boolean", "off")
        assert first["value"] is False
        for state, value in (("on", True), ("off", False)):
            revision = readers.switch(world.installation, state, key="off")
            question = {"type": "boolean", "flag": "off", "default": not value, "value": value}
            found = client.tell("until", **question)
            assert (found["value"], found["flagMetadata"]["revision"]) == (value, revision)
        assert world.reader.metric("flagctl_streams") == 1, "the address did not change"
        with world.installation.change() as change:
            revoke_key(change, "web", "prod")
        eventually(lambda: world.reader.metric("flagctl_streams") == 0, "its stream has ended")
