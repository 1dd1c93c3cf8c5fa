"""The command line on a real installation, away from anybody's own settings."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command_lines import CommandLine
from tests.support.installations import Cluster, Installation


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, and another one to be at home in."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    return tmp_path


@pytest.fixture
def cli(installation: Installation) -> CommandLine:
    """As the admin of a fresh installation."""
    return CommandLine(installation, installation.environ())


@pytest.fixture
def layout(cli: CommandLine) -> CommandLine:
    """With a flag of three texts besides."""
    variants = [f'--variant={name}="{name.upper()}"' for name in ("wide", "compact", "none")]
    roles = ("--on-variant", "wide", "--off-variant", "none")
    cli.ok("create", "layout", "--type", "string", *variants, *roles)
    return cli


@pytest.fixture(scope="module")
def stable(cluster: Cluster) -> Iterator[CommandLine]:
    """As an admin, with a flag and a config; for all tests of a module that change nothing."""
    with cluster.installation() as installation:
        made = CommandLine(installation, installation.environ())
        made.ok("create", "new_checkout")
        made.ok("config", "define", "checkout_timeout", "--type", "integer")
        yield made
