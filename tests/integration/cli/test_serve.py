"""flagctl serve: becomes the read server, with the settings that it was given."""

import os
import sys
from typing import Any

import pytest

from tests.support.command_lines import CommandLine


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What it would have become."""
    calls: list[Any] = []
    monkeypatch.setattr(os, "execve", lambda *call: calls.append(call))
    return calls


def test_it_becomes_the_server(stable: CommandLine, executed: list[Any]) -> None:
    listen = ("--listen", "127.0.0.1:9000", "--admin-listen", "[::1]:9001")
    assert stable.ok("--context", "live", "serve", *listen) == ""
    ((program, arguments, environment),) = executed
    assert (program, arguments) == (sys.executable, [sys.executable, "-m", "readserver"])
    assert environment["FLAGCTL_LISTEN"] == "127.0.0.1:9000"
    assert environment["FLAGCTL_ADMIN_LISTEN"] == "[::1]:9001"
    assert environment["FLAGCTL_CONTEXT"] == "live"
    reader = stable.installation.reader_url.reveal()
    assert environment["FLAGCTL_READER_DATABASE_URL"] == reader


def test_secrets_have_no_command_line_form(stable: CommandLine, executed: list[Any]) -> None:
    stable.ok("serve")
    ((_, arguments, _),) = executed
    assert not any("://" in argument for argument in arguments)
