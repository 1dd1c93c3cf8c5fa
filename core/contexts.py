"""Contexts: several installations in one config.toml, and which of them is in use.

A context is a table `[contexts.NAME]` that lays itself over the file; `context = "NAME"` above the
tables says which one. Writing that line leaves the rest of the file as it is, comments included.
"""

import json
import os
import re
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from core import setting_files
from core.errors import InvalidInputError, NotFoundError
from core.names import closest

_LINE: Final = re.compile(r"""(\s*(?:context|"context"|'context')\s*=\s*)("[^"]*"|'[^']*')(.*)""")
_TABLE: Final = re.compile(r"\s*\[")


@dataclass(frozen=True, slots=True)
class Context:
    """`settings` are the names of what it sets; `in_use` is whether this file uses it now."""

    name: str
    file: str
    in_use: bool
    settings: list[str]


def list_contexts(files: Sequence[Path], wanted: str | None) -> list[Context]:
    """Those of all files. `wanted` is the one that an option or a variable names."""
    found = []
    for path in files:
        document = _parse(path, _read(path))
        used = wanted or document.get("context")
        found += [
            Context(name, str(path), name == used, sorted(table))
            for name, table in _tables(document).items()
        ]
    return found


def use(files: Sequence[Path], name: str) -> list[Path]:
    """Make it the one in use, in each file that has it: as `--context NAME` takes it from each.

    Returns the files that changed. Raises NotFoundError where no file has it.
    """
    having = [path for path in files if name in _tables(_parse(path, _read(path)))]
    if not having:
        known = [context.name for context in list_contexts(files, None)]
        raise NotFoundError(
            f"there is no context {name!r}",
            hint=closest(name, known)
            or f"contexts are tables [contexts.NAME] in {setting_files.FILE_NAME}",
        )
    changes = [(path, _read(path)) for path in having]
    changed = [(path, _with_context(path, old, name)) for path, old in changes]
    pairs = zip(changed, changes, strict=True)
    written = [(path, new) for (path, new), (_, old) in pairs if new != old]
    for path, text in written:
        _replace(path, text)
    return [path for path, _ in written]


def _with_context(path: Path, text: str, name: str) -> str:
    """The text with that one line; proved by reading it again, before anything is written."""
    value = json.dumps(name, ensure_ascii=False)
    lines = text.splitlines(keepends=True)
    end = "\r\n" if lines and lines[0].endswith("\r\n") else "\n"
    top = next((i for i, line in enumerate(lines) if _TABLE.match(line)), len(lines))
    for number, line in enumerate(lines[:top]):
        if match := _LINE.match(line):
            rest = line[match.end(2) :]
            lines[number] = f"{match[1]}{value}{rest}"
            break
    else:
        lines.insert(0, f"context = {value}{end}")
    new = "".join(lines)
    try:
        is_right = tomllib.loads(new) == _parse(path, text) | {"context": name}
    except tomllib.TOMLDecodeError:
        is_right = False
    if not is_right:
        raise InvalidInputError(
            f"{path} is written in a way that is not changed by machine",
            hint=f"put `context = {value}` there yourself, above the first table",
        )
    return new


def _replace(path: Path, text: str) -> None:
    """All of it or nothing, for us alone to read. A link to the file stays one."""
    target = path.resolve()
    try:
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
                os.fchmod(file.fileno(), 0o600)
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be written: {error.strerror}") from None


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidInputError(f"{path} is not UTF-8 text") from None


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise InvalidInputError(f"{path} is not valid TOML") from None


def _tables(document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    contexts = document.get("contexts")
    if not isinstance(contexts, dict):
        return {}
    return {name: table for name, table in contexts.items() if isinstance(table, dict)}
