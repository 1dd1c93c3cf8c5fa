"""README.md's quick start and docs/getting-started.md, typed from top to bottom."""

import re
import shlex
from pathlib import Path

from tests.support.command_lines import CommandLine

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "getting-started.md"
QUICK = re.compile(r"^\$ (?:KEY=\$\()?flagctl (.*?)\)?$", re.MULTILINE)


def test_every_command_works_in_its_order(cli: CommandLine) -> None:
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL))
    begun = QUICK.findall((ROOT / "README.md").read_text())
    assert len(begun) > 5
    lines = begun + re.findall(r"^(?:KEY=\$\()?flagctl (.*?)\)?$", blocks, re.MULTILINE)
    assert len(lines) > len(begun) + 12
    for line in lines:
        ran = cli.run(*shlex.split(line))
        assert ran.code == 0, (line, ran.stderr)
    assert [flag["key"] for flag in cli.json("list")] == ["new_checkout"]
    assert cli.value("search_timeout") == 30
