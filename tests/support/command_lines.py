"""The command line under test: in this process, with every output searched for secrets."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from typer.testing import CliRunner

from core.settings import Secret
from flagctl.main import app
from tests.support.commands import loaded_once
from tests.support.installations import Installation


@dataclass(frozen=True)
class Ran:
    """What an invocation gave."""

    code: int
    stdout: str
    stderr: str

    def json(self) -> Any:
        return json.loads(self.stdout)

    def error(self) -> dict[str, str]:
        """The error as `-o json` prints it: one document, alone on stderr."""
        document = json.loads(self.stderr)
        assert list(document) == ["error"]
        assert list(document["error"]) == ["code", "message", "hint"]
        assert all(isinstance(value, str) for value in document["error"].values())
        return dict(document["error"])


@dataclass(frozen=True)
class CommandLine:
    """flagctl with the settings of one installation, as its admin or as somebody else."""

    installation: Installation
    environ: Mapping[str, str]
    runner: CliRunner = field(default_factory=CliRunner)

    def run(self, *arguments: object, stdin: str | bytes | None = None, **settings: str) -> Ran:
        """Run it. `settings` are environment variables for this once; "" takes one away."""
        environ = {**self.environ, **settings}
        words = [str(argument) for argument in arguments]
        with loaded_once():
            result = self.runner.invoke(app, words, input=stdin, env=environ)
        ran = Ran(result.exit_code, result.stdout, result.stderr)
        if not isinstance(result.exception, SystemExit | None):
            raise result.exception
        for secret in secrets_of(environ.values()):
            assert secret not in ran.stdout + ran.stderr
        assert "Traceback" not in ran.stderr
        return ran

    def ok(self, *arguments: object, **more: Any) -> str:
        """The data of a command that succeeds without saying anything on stderr."""
        ran = self.run(*arguments, **more)
        assert (ran.code, ran.stderr) == (0, "")
        return ran.stdout

    def json(self, *arguments: object, **more: Any) -> Any:
        """The document of a command that succeeds."""
        return json.loads(self.ok(*arguments, "-o", "json", **more))

    def fails(self, code: int, *arguments: object, **more: Any) -> str:
        """What a command says that fails with this exit code, writes nothing and prints no data."""
        before = self.installation.last_change()
        ran = self.run(*arguments, **more)
        assert (ran.code, ran.stdout) == (code, ""), ran
        assert self.installation.last_change() == before
        return ran.stderr

    def as_(self, token: Secret) -> "CommandLine":
        """The same, in the name of the token's bearer."""
        return CommandLine(
            self.installation, {**self.environ, "FLAGCTL_TOKEN": token.reveal()}, self.runner
        )

    def value(self, key: str, environment: str = "prod") -> Any:
        """A config's value, as the command line prints it."""
        return json.loads(self.ok("config", "get", key, "--env", environment))


def secrets_of(settings: Iterable[str]) -> set[str]:
    """Passwords in addresses, and tokens; the words that no output may hold."""
    found = set()
    for value in settings:
        if "://" in value:
            password = value.partition("://")[2].rpartition("@")[0].partition(":")[2]
            found |= {password, unquote(password), urlsplit(value).password or ""}
        elif value.count(".") == 2 and len(value) > 200:
            found |= {value, value.rpartition(".")[2]}
    return found - {""}
