import base64
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from core.auth import tokens
from core.errors import ConflictError, InvalidInputError, PassphraseNeededError
from core.services.key_files import MAX_PASSPHRASE, KeyFile, default_folder, key_file
from core.settings import Secret

PRIVATE, PUBLIC = tokens.generate_key_pair(2_048)
PASSPHRASE = Secret("eleven plus ö")


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


@pytest.fixture
def sealed(tmp_path: Path) -> KeyFile:
    file = key_file("an-installation", tmp_path, PASSPHRASE)
    file.write(PRIVATE)
    return file


def test_with_a_passphrase_the_file_is_encrypted(sealed: KeyFile) -> None:
    content = sealed.path.read_text()
    assert content.startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    assert stat.S_IMODE(sealed.path.stat().st_mode) == 0o600
    assert sealed.read() == (PRIVATE, tokens.key_id_of(PUBLIC))


def test_without_its_passphrase_it_stays_closed(sealed: KeyFile) -> None:
    with pytest.raises(PassphraseNeededError) as caught:
        KeyFile(sealed.path).read()
    assert caught.value.message == f"the signing key {sealed.path} is protected by a passphrase"
    assert caught.value.hint == "set FLAGCTL_KEY_PASSPHRASE; on a terminal it is asked for"


@pytest.mark.parametrize("wrong", ["", "eleven plus o", "eleven plus ö ", "x" * 5_000])
def test_another_passphrase_does_not_open_it(sealed: KeyFile, wrong: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        KeyFile(sealed.path, Secret(wrong)).read()
    assert type(caught.value) is InvalidInputError
    assert caught.value.message == f"the passphrase does not open the signing key {sealed.path}"
    assert "FLAGCTL_KEY_PASSPHRASE" in caught.value.hint
    assert not wrong or wrong not in caught.value.message + caught.value.hint


def test_a_file_without_one_is_read_all_the_same(written: KeyFile) -> None:
    assert KeyFile(written.path, PASSPHRASE).read()[0] == PRIVATE


@pytest.mark.parametrize("bad", ["", "x" * 11, "x" * (MAX_PASSPHRASE + 1), "ö" * MAX_PASSPHRASE])
def test_a_passphrase_that_protects_nothing(tmp_path: Path, bad: str) -> None:
    file = key_file("x", tmp_path, Secret(bad))
    with pytest.raises(InvalidInputError, match="has less than 12 characters"):
        file.write(PRIVATE)
    assert not file.path.exists()


@pytest.mark.parametrize("good", ["x" * 12, "ö" * (MAX_PASSPHRASE // 2)])
def test_the_shortest_and_the_longest_passphrase(tmp_path: Path, good: str) -> None:
    file = key_file("x", tmp_path, Secret(good))
    file.write(PRIVATE)
    assert file.read()[0] == PRIVATE


def test_a_passphrase_does_not_show_itself(sealed: KeyFile) -> None:
    assert "eleven" not in repr(sealed)


def test_a_damaged_key_is_told_from_another_one(written: KeyFile) -> None:
    key = tokens.load_private_key(PRIVATE.encode())
    modulus = key.public_key().public_numbers().n
    size = (key.key_size + 7) // 8
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    damaged = der.replace(modulus.to_bytes(size), (modulus ^ 2**700).to_bytes(size))
    assert damaged != der
    text = base64.encodebytes(damaged).decode()
    written.path.write_text(f"-----BEGIN PRIVATE KEY-----\n{text}-----END PRIVATE KEY-----\n")
    with pytest.raises(InvalidInputError, match="the signing key is damaged") as caught:
        written.read()
    assert "restore its file from a copy" in caught.value.hint


def test_a_key_of_another_kind(written: KeyFile) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    written.path.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(InvalidInputError, match="a signing key is an RSA key"):
        written.read()
