"""What a command works with, and what happens to errors that nobody foresaw."""

import pytest
from typer.testing import CliRunner

from flagctl.commands import members
from flagctl.main import app
from flagctl.state import State

SECRET = "topsecret"


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """`whoami` fails in a way that nobody foresaw; the text of the error holds a secret."""

    def fail() -> None:
        raise RuntimeError(f"postgresql://ann:{SECRET}@example.com")

    monkeypatch.setattr(members, "whoami", fail)


@pytest.mark.usefixtures("broken")
def test_an_unforeseen_error_keeps_its_secrets() -> None:
    for arguments in (["whoami"], ["-v", "whoami"], ["whoami", "-o", "json", "--verbose"]):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 1
        assert result.stdout == ""
        assert "unexpected RuntimeError" in result.stderr
        assert SECRET not in result.stderr
        assert ("in fail" in result.stderr) == (len(arguments) > 1)
        assert "Traceback" not in result.stderr


def test_options_come_before_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLAGCTL_ORG", "one")
    monkeypatch.setenv("FLAGCTL_ENV", "dev")
    monkeypatch.setenv("FLAGCTL_OUTPUT", "yaml")
    state = State()
    assert (state.organization, state.environment(None), state.output) == ("one", "dev", "yaml")
    state = State({"org": "two", "output": "json"})
    assert (state.organization, state.environment("prod"), state.output) == ("two", "prod", "json")
