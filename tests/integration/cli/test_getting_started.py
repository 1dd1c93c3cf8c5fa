"""docs/getting-started.md, typed from top to bottom."""

import re
import shlex
from pathlib import Path

from tests.support.command_lines import CommandLine

PAGE = Path(__file__).parents[3] / "docs" / "getting-started.md"


def test_every_command_works_in_its_order(cli: CommandLine) -> None:
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL))
    lines = re.findall(r"^(?:KEY=\$\()?flagctl (.*?)\)?$", blocks, re.MULTILINE)
    assert len(lines) > 12
    for line in lines:
        ran = cli.run(*shlex.split(line))
        assert ran.code == 0, (line, ran.stderr)
    assert cli.json("list") == []
    assert cli.value("checkout_timeout") == 30
