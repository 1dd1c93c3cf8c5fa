import stat
from pathlib import Path

import pytest

from core.auth import tokens
from core.errors import ConflictError, InvalidInputError
from core.services.key_files import KeyFile, default_folder, key_file

PRIVATE, PUBLIC = tokens.generate_key_pair(2_048)


@pytest.fixture
def written(tmp_path: Path) -> KeyFile:
    file = key_file("an-installation", tmp_path / "deep" / "keys")
    file.write(PRIVATE)
    return file


def test_it_is_written_for_its_owner_alone(written: KeyFile) -> None:
    assert stat.S_IMODE(written.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(written.path.parent.stat().st_mode) == 0o700
    assert written.path.name == "an-installation.pem"


def test_what_is_written_is_read_with_its_key_id(written: KeyFile) -> None:
    assert written.read() == (PRIVATE, tokens.key_id_of(PUBLIC))


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o602, 0o660, 0o601, 0o610, 0o777])
def test_it_is_refused_when_others_have_a_way_in(written: KeyFile, mode: int) -> None:
    written.path.chmod(mode)
    with pytest.raises(InvalidInputError, match="is open to others") as caught:
        written.read()
    assert caught.value.hint == f"chmod 600 {written.path}"


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_modes_that_are_closed(written: KeyFile, mode: int) -> None:
    written.path.chmod(mode)
    assert written.read()[0] == PRIVATE


def test_a_link_is_judged_by_what_it_leads_to(written: KeyFile, tmp_path: Path) -> None:
    written.path.chmod(0o644)
    link = tmp_path / "link.pem"
    link.symlink_to(written.path)
    with pytest.raises(InvalidInputError, match="is open to others"):
        KeyFile(link).read()


def test_a_key_is_never_written_over_another(written: KeyFile) -> None:
    with pytest.raises(ConflictError, match="exists already"):
        written.write("something else")
    assert written.read()[0] == PRIVATE


def test_a_key_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="cannot be read: No such file") as caught:
        KeyFile(tmp_path / "none.pem").read()
    assert "flagctl init" in caught.value.hint


@pytest.mark.parametrize("content", [b"", b"no key", b"\xff\0", PUBLIC.encode()])
def test_a_file_that_holds_no_private_key(written: KeyFile, content: bytes) -> None:
    written.path.write_bytes(content)
    with pytest.raises(InvalidInputError, match="holds no private key in PEM"):
        written.read()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInputError, match="cannot be written"):
        key_file("x", tmp_path / "file" / "below").write(PRIVATE)


def test_keys_lie_where_the_user_keeps_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert default_folder() == Path("/data/flagctl/keys")
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", "/home/ann")
    assert key_file("x").path == Path("/home/ann/.local/share/flagctl/keys/x.pem")
