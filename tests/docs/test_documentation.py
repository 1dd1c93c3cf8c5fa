"""What users can type, set or meet is documented, and links lead somewhere."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import FlagctlError
from core.setting_values import NAMES
from flagctl.errors import ExitCode
from tests.support import alerts, reference
from tests.support.commands import commands, options

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
COMMANDS = (ROOT / "docs" / "commands.md").read_text()
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def section(of: str, heading: str) -> str:
    """What stands below a heading, up to the next one of its level or above."""
    level = heading.split(" ")[0]
    rest = of.split(f"\n{heading}\n", 1)[1]
    return re.split(rf"\n#{{1,{len(level)}}} ", rest, maxsplit=1)[0]


def rows(text: str) -> Iterator[list[str]]:
    """The cells of a table's rows."""
    for line in text.splitlines():
        if line.startswith("| ") and not line.startswith("| ---"):
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def kinds(of: type[FlagctlError] = FlagctlError) -> Iterator[type[FlagctlError]]:
    if of.__module__.startswith(("core.", "flagctl.", "readserver.")):
        yield of
    for kind in of.__subclasses__():
        yield from kinds(kind)


@pytest.mark.parametrize(("name", "command"), list(commands()), ids=lambda c: str(c)[:30])
def test_every_command_with_its_options(name: str, command: object) -> None:
    assert f"\n### `flagctl {name}`\n" in COMMANDS
    said = section(COMMANDS, f"### `flagctl {name}`")
    assert (command.help or "").strip().splitlines()[0] in said  # type: ignore[attr-defined]
    for option in options(command):  # type: ignore[arg-type]
        assert re.search(rf"`{option}[` ]", said), option


def test_the_reference_is_what_the_program_says() -> None:
    assert reference.render() == COMMANDS, "run `make docs`"


def test_no_command_is_made_up() -> None:
    known = {name for name, _ in commands()}
    typed = re.findall(r"flagctl ([a-z][a-z-]*(?: [a-z-]+)?)", re.sub(r"\\\|", "|", README))
    made_up = [t for t in typed if t not in known and t.split()[0] not in known]
    assert set(made_up) <= {"has", "is"}


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_setting(name: str) -> None:
    documented = {
        variable
        for row in rows(section(README, "## Settings"))
        for variable in re.findall(r"`(\w+)`", row[0])
    }
    assert f"FLAGCTL_{name.upper()}" in documented


def test_no_setting_is_made_up() -> None:
    mentioned = {
        name
        for page in PAGES
        for name in re.findall(r"FLAGCTL_([A-Z_]+[A-Z])", page.read_text())
        if not name.startswith("TEST_")
    }
    assert {name.lower() for name in mentioned} <= NAMES | {"context"}


def test_every_exit_code() -> None:
    codes = {int(row[0]) for row in rows(section(README, "## Exit codes")) if row[0].isdigit()}
    assert codes == set(ExitCode)


@pytest.mark.parametrize("kind", list(kinds()))
def test_every_error_code(kind: type[FlagctlError]) -> None:
    documented = [row[1] for row in rows(section(README, "## Exit codes"))]
    assert any(f"`{kind.code}`" in cell for cell in documented)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith(("https://", "mailto:")):
            assert (page.parent / target.partition("#")[0]).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_are_tidy(page: Path) -> None:
    text = page.read_text()
    assert text.startswith("# ")
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    assert text.count("```") % 2 == 0
    assert not re.search(r"[ \t]$", text, re.MULTILINE)


def test_every_decision_is_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    records = sorted(path.name for path in folder.glob("[0-9]*.md"))
    listed = re.findall(r"\(([0-9]{4}-[^)]+\.md)\)", (folder / "README.md").read_text())
    assert listed == records
    for number, name in enumerate(records, 1):
        assert name.startswith(f"{number:04}-")
        assert (folder / name).read_text().startswith(f"# {number}. ")


def test_every_target_of_make() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE)) - {"help", "wheels"}
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    assert targets <= set(re.findall(r"`make ([a-z-]+)", contributing))


def test_every_alert_is_in_what_to_do() -> None:
    named = set(
        re.findall(r"`(Flagctl[A-Z]\w+)`", section(OPERATIONS, "## When something is down"))
    )
    assert named == {rule["alert"] for rule in alerts.rules()}
