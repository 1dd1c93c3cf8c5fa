import stat
from pathlib import Path

import pytest

from core.errors import InvalidInputError
from flagctl.dev.folder import open_folder


def test_it_is_made_closed_and_ignored_by_git(tmp_path: Path) -> None:
    folder = open_folder(tmp_path)
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert (folder.path / ".gitignore").read_text() == "*\n"


def test_a_folder_that_is_a_link_is_refused_and_left_alone(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir(mode=0o755)
    (tmp_path / ".flagctl").symlink_to(victim)
    with pytest.raises(InvalidInputError, match="is not a folder of yours"):
        open_folder(tmp_path)
    assert stat.S_IMODE(victim.stat().st_mode) == 0o755
    assert not list(victim.iterdir())


def test_a_link_in_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / ".flagctl").mkdir()
    (tmp_path / ".flagctl" / "readserver.log").symlink_to(tmp_path / "precious")
    with pytest.raises(InvalidInputError, match="has links in it"):
        open_folder(tmp_path)
