"""The folder `.flagctl`: everything of one local installation, closed to others."""

import json
import os
import secrets
import stat
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tomli_w

from core.errors import InvalidInputError
from core.setting_files import FILE_NAME, PROJECT_FOLDER


@dataclass(frozen=True, slots=True)
class Passwords:
    """Made once, kept in `secrets.json`. They never stand in a command line.

    Those of Redis's users are made from `redis`.
    """

    superuser: str
    owner: str
    admin: str
    reader: str
    redis: str


@dataclass(frozen=True, slots=True)
class Folder:
    """Where things lie below `path`."""

    path: Path

    @property
    def postgres(self) -> Path:
        return self.path / "postgres"

    @property
    def valkey(self) -> Path:
        return self.path / "valkey"

    @property
    def keys(self) -> Path:
        return self.path / "keys"

    @property
    def config(self) -> Path:
        return self.path / FILE_NAME

    def passwords(self) -> Passwords:
        """The passwords of this installation, made at the first call."""
        path = self.path / "secrets.json"
        if path.exists():
            try:
                return Passwords(**json.loads(path.read_text()))
            except (ValueError, TypeError):
                raise InvalidInputError(
                    f"{path} is damaged", hint=f"remove {self.path} to start afresh"
                ) from None
        made = Passwords(*(secrets.token_urlsafe(24) for _ in range(5)))
        self.write(path, json.dumps(asdict(made)))
        return made

    def write_config(self, values: dict[str, Any]) -> None:
        """`config.toml`, so that commands below this directory find the installation."""
        header = "# Written by `flagctl dev` at each start. It holds secrets.\n"
        self.write(self.config, header + tomli_w.dumps(values))

    def write(self, path: Path, content: str) -> None:
        """All or nothing, and 0600 from its first moment."""
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)


def open_folder(directory: Path) -> Folder:
    """`.flagctl` in a directory, made if need be: 0700, ignored by git."""
    path = directory / PROJECT_FOLDER
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        _refuse_foreign(path)
        path.chmod(0o700)
        folder = Folder(path)
        ignore = path / ".gitignore"
        if not ignore.exists():
            folder.write(ignore, "*\n")
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be used: {error.strerror}") from None
    return folder


def _refuse_foreign(path: Path) -> None:
    """A folder that came with somebody's repository may point anywhere: nothing is followed."""
    state = path.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.geteuid():
        raise InvalidInputError(
            f"{path} is not a folder of yours", hint="start in a directory of your own"
        )
    links = [entry.name for entry in os.scandir(path) if entry.is_symlink()]
    if links:
        raise InvalidInputError(
            f"{path} has links in it: {', '.join(links)}", hint="remove them, or the folder"
        )
