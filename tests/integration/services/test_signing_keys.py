"""The keys of flagctl's own issuer: rotation with overlap, revocation, and which one signs."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from core import clock
from core.auth.tokens import generate_key_pair, key_id_of, origin
from core.errors import (
    ConfirmationNeededError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    UnauthenticatedError,
)
from core.queries.issuers import SigningKeyDetail, list_signing_keys
from core.services import change as changes
from core.services.change import Options
from core.services.grants import Group, group_name
from core.services.key_files import KeyFile
from core.services.signing_keys import RotatedKey, revoke_key, rotate_key
from core.services.tokens import IssuedToken, issue_token
from core.settings import Secret
from tests.support.installations import ADMIN_EMAIL, Installation

PAIRS = [generate_key_pair(2_048) for _ in range(2)]
IDS = [key_id_of(public) for _, public in PAIRS]
DAY = timedelta(hours=24)


def first_file(installation: Installation) -> KeyFile:
    """Where the installation's first key lies, whatever lies beside it."""
    return KeyFile(min(installation.key_folder.iterdir(), key=lambda path: len(path.name)))


def rotate(
    installation: Installation, pair: int = 0, overlap: timedelta = DAY, **options: Any
) -> RotatedKey:
    with installation.owner_change(**options) as change:
        return rotate_key(change, first_file(installation), PAIRS[pair], overlap=overlap)


def revoke(installation: Installation, key_id: str, **options: Any) -> None:
    with installation.owner_change(**options) as change:
        revoke_key(change, key_id)


def issue(installation: Installation) -> IssuedToken:
    with installation.owner_change() as change:
        return issue_token(
            change,
            ADMIN_EMAIL,
            first_file(installation),
            lifetime=timedelta(hours=1),
            as_owner=True,
        )


def signer(token: IssuedToken) -> str:
    return origin(token.token).key_id


def is_good(installation: Installation, token: IssuedToken) -> bool:
    try:
        with installation.session(Secret(token.token)):
            return True
    except UnauthenticatedError:
        return False


def listed(installation: Installation) -> list[SigningKeyDetail]:
    with installation.session() as session:
        return list_signing_keys(session)


def end_now(installation: Installation, key_id: str) -> None:
    """The overlap is over."""
    installation.govern(
        "UPDATE flagctl.issuer_keys SET expires_at = now() WHERE key_id = %s", parameters=[key_id]
    )


def test_the_new_key_signs_and_the_old_one_is_trusted_a_while(installation: Installation) -> None:
    old_id = listed(installation)[0].id
    before = issue(installation)
    now = clock.now()
    made = rotate(installation)
    assert (made.id, made.ending) == (IDS[0], (old_id,))
    assert now + DAY <= made.ends <= clock.now() + DAY
    assert made.path == first_file(installation).of_key(IDS[0]).path
    after = issue(installation)
    assert [signer(before), signer(after)] == [old_id, IDS[0]]
    assert [is_good(installation, token) for token in (before, after)] == [True, True]
    assert [(key.id, key.state) for key in listed(installation)] == [
        (IDS[0], "live"),
        (old_id, "ending"),
    ]
    end_now(installation, old_id)
    assert [is_good(installation, token) for token in (before, after)] == [False, True]


def test_rotating_is_on_record(installation: Installation) -> None:
    old_id = listed(installation)[0].id
    with installation.owner_change() as change:
        rotate_key(change, first_file(installation), PAIRS[0], overlap=DAY)
    assert [(e.action, e.entity_type, e.entity_key) for e in change.outcome.events] == [
        ("rotate", "signing_key", old_id),
        ("create", "signing_key", IDS[0]),
    ]


def test_an_overlap_that_began_is_not_made_longer(installation: Installation) -> None:
    old_id = listed(installation)[0].id
    ends = rotate(installation, overlap=timedelta(hours=1)).ends
    made = rotate(installation, 1, overlap=timedelta(days=7))
    assert set(made.ending) == {old_id, IDS[0]}
    found = {key.id: key.expires_at for key in listed(installation)}
    assert found == {IDS[1]: None, IDS[0]: made.ends, old_id: ends}


def test_without_overlap_the_old_one_ends_at_once(installation: Installation) -> None:
    before = issue(installation)
    rotate(installation, overlap=timedelta(0))
    assert not is_good(installation, before)
    assert is_good(installation, issue(installation))


@pytest.mark.parametrize("overlap", [timedelta(seconds=-1), timedelta(days=31)])
def test_overlaps_that_are_refused(installation: Installation, overlap: timedelta) -> None:
    with pytest.raises(InvalidInputError, match="keys overlap for 30 days at most"):
        rotate(installation, overlap=overlap)


def test_a_dry_run_leaves_no_file(installation: Installation) -> None:
    before = sorted(installation.key_folder.iterdir())
    made = rotate(installation, dry_run=True)
    assert (made.path, sorted(installation.key_folder.iterdir())) == (None, before)
    assert len(listed(installation)) == 1


class _DiedError(Exception):
    """Whatever ends a process."""


def die(*_: object) -> None:
    raise _DiedError


@pytest.mark.parametrize("when", ["before the file", "after the file", "at the commit"])
def test_whenever_it_dies_a_key_can_sign(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """The old key as long as nothing is committed; a file too many harms nobody."""
    old_id = listed(installation)[0].id
    write: Callable[[KeyFile, str], None] = KeyFile.write

    def write_and_die(file: KeyFile, private_key: str) -> None:
        write(file, private_key)
        die()

    with monkeypatch.context() as patched:
        if when == "at the commit":
            patched.setattr(changes, "_read_outcome", die)
        else:
            patched.setattr(KeyFile, "write", die if "before" in when else write_and_die)
        with pytest.raises(_DiedError):
            rotate(installation)
    assert len(list(installation.key_folder.iterdir())) == (1 if "before" in when else 2)
    token = issue(installation)
    assert (signer(token), is_good(installation, token)) == (old_id, True)
    made = rotate(installation, 1)
    assert signer(issue(installation)) == made.id == IDS[1]


def test_where_the_new_file_is_not_the_old_one_signs(installation: Installation) -> None:
    """Another machine, to which the new one was not taken yet."""
    old_id = listed(installation)[0].id
    made = rotate(installation)
    assert made.path is not None
    content = made.path.read_bytes()
    made.path.unlink()
    token = issue(installation)
    assert (signer(token), is_good(installation, token)) == (old_id, True)
    end_now(installation, old_id)
    with pytest.raises(InvalidInputError, match="is not trusted by this installation"):
        issue(installation)
    made.path.touch(0o600)
    made.path.write_bytes(content)
    assert signer(issue(installation)) == made.id


def test_a_lost_key_is_replaced(installation: Installation) -> None:
    file = first_file(installation)
    file.path.unlink()
    with installation.owner_change() as change:
        made = rotate_key(change, file, PAIRS[0], overlap=DAY)
    assert signer(issue(installation)) == made.id


def test_a_file_that_is_there_already_is_not_overwritten(installation: Installation) -> None:
    first_file(installation).of_key(IDS[0]).write("something")
    with pytest.raises(ConflictError, match="exists already"):
        rotate(installation)
    assert len(listed(installation)) == 1


def test_a_passphrase_protects_the_new_file_too(installation: Installation) -> None:
    file = KeyFile(first_file(installation).path, Secret("a phrase of some words"))
    with installation.owner_change() as change:
        made = rotate_key(change, file, PAIRS[0], overlap=DAY)
    new = file.of_key(made.id)
    assert new.is_encrypted()
    assert new.read()[1] == made.id
    assert not KeyFile(file.path.with_name("none.pem")).is_encrypted()


def test_a_revoked_key_ends_its_tokens_at_once(installation: Installation) -> None:
    old_id = listed(installation)[0].id
    before = issue(installation)
    rotate(installation)
    after = issue(installation)
    revoke(installation, old_id)
    assert [is_good(installation, token) for token in (before, after)] == [False, True]
    assert {key.id: key.state for key in listed_as_owner(installation)} == {
        IDS[0]: "live",
        old_id: "revoked",
    }
    with installation.owner_change() as change:
        revoke_key(change, old_id)
    assert not change.outcome.changed


def listed_as_owner(installation: Installation) -> list[SigningKeyDetail]:
    with installation.owner_change() as change:
        return list_signing_keys(change.session)


@pytest.mark.parametrize("with_ending", [False, True])
def test_the_last_key_asks_back(installation: Installation, with_ending: bool) -> None:
    """Also while another one is trusted for its last hours."""
    key_id = rotate(installation).id if with_ending else listed(installation)[0].id
    with pytest.raises(ConfirmationNeededError, match="the last signing key that lasts"):
        revoke(installation, key_id)
    revoke(installation, key_id, confirmed=True)
    states = [key.state for key in listed_as_owner(installation)]
    assert states == (["revoked", "ending"] if with_ending else ["revoked"])


def test_without_any_key_the_way_back_is_a_new_one(installation: Installation) -> None:
    revoke(installation, listed(installation)[0].id, confirmed=True)
    with pytest.raises(InvalidInputError, match="has no signing key") as caught:
        issue(installation)
    assert "flagctl signing-key rotate" in caught.value.hint
    rotate(installation)
    assert is_good(installation, issue(installation))


def test_a_key_that_is_not_there(installation: Installation) -> None:
    known = listed(installation)[0].id
    with pytest.raises(NotFoundError) as caught:
        revoke(installation, known[:-1] + "x")
    assert caught.value.hint == f"did you mean {known}?"


def test_the_keepers_of_trust_rotate_too(installation: Installation) -> None:
    role = group_name(installation.prefix, Group.OWNER)
    with changes.owner_change(installation.trust_url, Options(), owner_role=role) as change:
        rotate_key(change, first_file(installation), PAIRS[0], overlap=DAY)
    assert signer(issue(installation)) == IDS[0]
