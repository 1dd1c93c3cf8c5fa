"""The pages of docs/: what they tell to type exists, and what there is stands in them."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer._click import Command

from flagctl.errors import ExitCode
from tests.support.commands import commands
from tests.support.metrics import names_of_series

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(page for page in DOCS.glob("*.md") if page.name != "commands.md")
COMMANDS = dict(commands())
_GLOBAL = {"-o", "--output", "--org", "--context", "-v", "--verbose", "--help"}


def typed(text: str) -> Iterator[str]:
    """Everything that a page tells to type into flagctl, a line each."""
    blocks = re.findall(r"```(?:sh|console|yaml)\n(.*?)```", text, re.DOTALL)
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
        yield from re.findall(r"\bflagctl ([a-z].*)", line.partition(" # ")[0])
    yield from re.findall(r"`flagctl ([a-z][^`]*)`", prose.replace("\n", " "))


def words_of(line: str) -> list[str]:
    """The words of the one command, without what a pipe or a shell does with it."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|;()<>&")
    lexer.whitespace_split = True
    found: list[str] = []
    for word in lexer:
        if set(word) <= set("|;()<>&"):
            break
        found.append(word)
    return found


def resolved(words: list[str]) -> tuple[Command | None, list[str]]:
    """The command, None for a whole group, and its arguments."""
    for length in (2, 1):
        if command := COMMANDS.get(" ".join(words[:length])):
            return command, words[length:]
    assert any(name.split()[0] == words[0] for name in COMMANDS), words
    assert len(words) == 1, words
    return None, []


def lines() -> list[tuple[str, str]]:
    return [(page.name, line) for page in PAGES for line in typed(page.read_text())]


@pytest.mark.parametrize(("page", "line"), lines(), ids=str)
def test_what_is_typed_exists(page: str, line: str) -> None:
    command, arguments = resolved(words_of(line))
    known = _GLOBAL | {o for p in (command.params if command else ()) for o in p.opts}
    for argument in arguments:
        if argument == "--":
            break
        if re.match(r"--?[a-z]", argument):
            assert argument.partition("=")[0] in known, argument


def test_the_check_sees_what_does_not_exist() -> None:
    for wrong in ("db downgrade", "sett key", "db upgrade --force"):
        with pytest.raises(AssertionError):
            test_what_is_typed_exists("", wrong)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_targets_of_make_exist(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", page.read_text())) <= targets


def test_every_page_is_found_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    for page in DOCS.glob("*.md"):
        assert f"(docs/{page.name})" in readme, page.name


def test_every_path_and_status_of_http() -> None:
    text = (DOCS / "http.md").read_text()
    document = json.loads((ROOT / "readserver" / "openapi.json").read_text())
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if method in ("get", "post"):
                assert f"`{method.upper()} {path}`" in text
                for parameter in operation.get("parameters", []):
                    assert f"`{parameter['name']}`" in text or "{key}" in path, parameter
                for status in operation["responses"]:
                    assert status in text, status


def test_every_metric() -> None:
    names = {re.sub(r"_(bucket|sum|count)$", "", name) for name in names_of_series()}
    documented = set(re.findall(r"`(flagctl_[a-z_]+)`", watch_table()))
    assert documented == names


def watch_table() -> str:
    return (DOCS / "operations.md").read_text().partition("## What to watch")[2]


def test_every_exit_code_in_a_pipeline() -> None:
    text = (DOCS / "openid.md").read_text().partition("## When a pipeline's command fails")[2]
    codes = {int(code) for code in re.findall(r"^\| (\d) \|", text, re.MULTILINE)}
    assert codes == set(ExitCode)
