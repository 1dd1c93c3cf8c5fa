"""Where settings come from: the environment, and files whose owner can be told."""

import os
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from core.errors import InvalidInputError, UnauthenticatedError
from core.setting_values import NAMES

PROJECT_FOLDER: Final = ".flagctl"
FILE_NAME: Final = "config.toml"
ENVIRONMENT: Final = "the environment"
PREFIX: Final = "FLAGCTL_"


@dataclass(frozen=True, slots=True)
class Source:
    """Where settings came from: the environment, or one file (and context in it)."""

    name: str
    folder: Path | None = None
    confined: bool = False  # a project's file: the files it names lie in its folder
    values: Mapping[str, Any] = field(default_factory=dict, repr=False)  # secrets in clear
    context: str | None = None

    def file(self, name: str) -> Path:
        """A file that a setting names. A project's settings name files of their own folder only:
        a cloned repository must not read one's token, wherever it lies.
        """
        try:
            path = (self.folder or Path()) / Path(name).expanduser()
            inside = not self.confined or path.resolve().is_relative_to(
                (self.folder or Path()).resolve()
            )
        except (OSError, RuntimeError, ValueError):
            raise InvalidInputError(f"{name!r} in {self.name} is no path") from None
        if not inside:
            raise UnauthenticatedError(
                f"{self.name} names a file outside its folder: {name}",
                hint="put it into that folder, or name it in the environment",
            )
        return path


def from_environment(environ: Mapping[str, str], faults: list[str]) -> Source:
    """What the variables say; `faults` gets what is no text."""
    values = {}
    for variable, value in environ.items():
        name = variable.removeprefix(PREFIX).lower()
        if variable.startswith(PREFIX) and name in NAMES and value:
            values[name] = value
            if "\0" in value or any("\ud800" <= c <= "\udfff" for c in value):
                faults.append(f"{variable} is not valid UTF-8 text")
    return Source(ENVIRONMENT, values=values)


def files(environ: Mapping[str, str], directory: Path, warnings: list[str]) -> list[Path]:
    """The files that are read, the stronger one first; `warnings` says which one is not."""
    return [path for path in (_project_file(directory, warnings), _user_file(environ)) if path]


def from_file(path: Path, wanted: str | None, faults: list[str]) -> tuple[Source, bool]:
    """What a file says, and whether it has the context that is `wanted`."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not valid TOML"
        faults.append(f"{path}: {reason}")
        return Source(str(path), path.parent), False
    contexts = document.pop("contexts", {})
    name = wanted or document.pop("context", None)
    document.pop("context", None)
    chosen = contexts.get(name) if isinstance(contexts, dict) and name else None
    if not wanted and name and chosen is None:
        faults.append(f"{path}: there is no context {name!r} in it")
    values = document | (chosen if isinstance(chosen, dict) else {})
    for unknown in sorted(values.keys() - NAMES):
        faults.append(f"{path}: {unknown} is not a setting")
    source_name = f"{path} (context {name})" if chosen else str(path)
    known = {key: value for key, value in values.items() if key in NAMES}
    confined = path.parent.name == PROJECT_FOLDER
    context = name if isinstance(chosen, dict) else None
    return Source(source_name, path.parent, confined, known, context), context is not None


def _project_file(directory: Path, warnings: list[str]) -> Path | None:
    for folder in (directory, *directory.parents):
        path = folder / PROJECT_FOLDER / FILE_NAME
        if not _is_file(path):
            continue
        if _is_private(path) and _is_private(path.parent):
            return path
        warnings.append(f"{path} was not read: it or its folder is not yours alone to write")
        return None
    return None


def _is_private(path: Path) -> bool:
    state = path.lstat()
    if stat.S_ISLNK(state.st_mode):
        return False  # it may point anywhere
    return state.st_uid == os.geteuid() and not state.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _user_file(environ: Mapping[str, str]) -> Path | None:
    base = environ.get("XDG_CONFIG_HOME") or "~/.config"
    try:
        path = Path(base).expanduser() / "flagctl" / FILE_NAME
    except RuntimeError:  # this user has no home, as in some containers
        return None
    return path if _is_file(path) else None


def _is_file(path: Path) -> bool:
    """Unlike `Path.is_file`, false also where the path cannot be followed."""
    try:
        return path.is_file()
    except OSError:
        return False
