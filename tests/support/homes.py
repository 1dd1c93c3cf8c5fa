"""Where settings are looked for: a project's folder, and a user's own."""

from collections.abc import Mapping
from pathlib import Path

from core.settings import Settings, load

PASSWORD = "hunter2-hunter2"
ADDRESS = f"postgresql://ann:{PASSWORD}@127.0.0.1/flags"


class Home:
    """A directory tree with a project in it, and a user's own configuration beside it."""

    def __init__(self, root: Path) -> None:
        self.directory = root / "project" / "deep" / "below"
        self.directory.mkdir(parents=True)
        self.project_file = root / "project" / ".flagctl" / "config.toml"
        self.user_file = root / "config" / "flagctl" / "config.toml"
        self._environ = {"XDG_CONFIG_HOME": str(root / "config")}

    def write(self, path: Path, text: str, mode: int = 0o600) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.parent.chmod(0o700)
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)

    def load(self, *, option: str | None = None, **variables: str) -> Settings:
        environ: Mapping[str, str] = self._environ | {
            f"FLAGCTL_{name.upper()}": value for name, value in variables.items()
        }
        return load(environ, self.directory, context=option)
