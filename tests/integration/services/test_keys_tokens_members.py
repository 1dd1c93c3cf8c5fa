"""What happens when nothing is refused: keys, tokens, members, the first set-up."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core import clock
from core.auth import api_keys as key_format
from core.auth import tokens as token_format
from core.auth.actor import Role
from core.auth.api_keys import KeyKind
from core.errors import ConflictError, InvalidInputError, NotFoundError
from core.queries.api_keys import KeyDetail, list_keys
from core.queries.members import list_members, list_tokens
from core.queries.organizations import show_organization
from core.services import api_keys, members, tokens
from core.services.change import Options, owner_change
from core.services.installation import initialise, new_epoch
from core.services.key_files import key_file
from core.services.schema import upgrade
from core.settings import Secret
from tests.support.installations import ADMIN_EMAIL, Database, Installation

WEEK = timedelta(days=7)
LATER = datetime(2099, 1, 1, tzinfo=UTC)


def keys_of(installation: Installation, *, include_dead: bool = False) -> list[KeyDetail]:
    with installation.session() as session:
        return list_keys(session, include_dead=include_dead)


@pytest.mark.parametrize("kind", list(KeyKind))
def test_a_new_key_is_shown_once_and_kept_as_a_digest(
    kind: KeyKind, installation: Installation
) -> None:
    with installation.change() as change:
        made = api_keys.create_key(change, "web", "prod", kind=kind, expires_at=LATER)
    parsed = key_format.parse(made.key)
    assert parsed is not None
    assert (parsed.kind, parsed.environment_id) == (kind, installation.environment_id("prod"))
    assert installation.ask("SELECT digest FROM flagctl.api_keys") == [(parsed.digest,)]
    (listed,) = keys_of(installation)
    assert (listed.id, listed.name, listed.kind, listed.environment, listed.state) == (
        made.id,
        "web",
        kind,
        "prod",
        "live",
    )
    assert listed.expires_at == made.expires_at == LATER


def test_rotating_overlaps(installation: Installation) -> None:
    with installation.change() as change:
        old = api_keys.create_key(change, "web", "dev", kind=KeyKind.CLIENT)
    with installation.change() as change:
        new, ends = api_keys.rotate_key(change, "web", "dev", overlap=WEEK)
    assert abs(ends - clock.now() - WEEK) < timedelta(minutes=1)
    first, second = keys_of(installation)
    assert (first.id, first.expires_at, first.state) == (old.id, ends, "live")
    assert (second.id, second.expires_at, second.kind) == (new.id, None, "client")
    assert new.key != old.key


def test_rotating_never_prolongs(installation: Installation) -> None:
    soon = clock.now() + timedelta(hours=1)
    with installation.change() as change:
        api_keys.create_key(change, "web", "dev", expires_at=soon)
    with installation.change() as change:
        _, ends = api_keys.rotate_key(change, "web", "dev", overlap=WEEK)
    assert ends == soon


def test_rotating_without_overlap_ends_the_old_key(installation: Installation) -> None:
    with installation.change() as change:
        api_keys.create_key(change, "web", "dev")
    with installation.change() as change:
        api_keys.rotate_key(change, "web", "dev", overlap=timedelta(0))
    assert [key.state for key in keys_of(installation, include_dead=True)] == ["expired", "live"]


def test_of_two_keys_of_one_name_one_is_named_by_its_id(installation: Installation) -> None:
    with installation.change() as change:
        old = api_keys.create_key(change, "web", "dev")
    with installation.change() as change:
        new, _ = api_keys.rotate_key(change, "web", "dev", overlap=WEEK)
    with (
        pytest.raises(ConflictError, match="dev has 2 live keys named 'web'") as caught,
        installation.change() as change,
    ):
        api_keys.revoke_key(change, "web", "dev")
    assert caught.value.hint == f"name one by its id: {old.id}, {new.id}"
    with installation.change() as change:
        api_keys.revoke_key(change, old.id, "dev")
    assert [key.id for key in keys_of(installation)] == [new.id]


def test_a_revoked_key_is_dead_and_its_name_is_free(installation: Installation) -> None:
    for _ in range(2):
        with installation.change() as change:
            api_keys.create_key(change, "web", "dev")
        with installation.change() as change:
            api_keys.revoke_key(change, "web", "dev")
    assert keys_of(installation) == []
    assert [key.state for key in keys_of(installation, include_dead=True)] == ["revoked"] * 2
    with pytest.raises(NotFoundError), installation.change() as change:
        api_keys.revoke_key(change, "web", "dev")


def test_an_issued_token_works_and_is_listed(installation: Installation) -> None:
    issued = installation.issue(ADMIN_EMAIL, lifetime=timedelta(minutes=5))
    with installation.session(Secret(issued.token)) as session:
        newest = list_tokens(session)[0]
    assert (newest.id, newest.email, newest.revoked_at) == (issued.id, ADMIN_EMAIL, None)
    assert newest.expires_at == issued.expires_at
    assert timedelta(minutes=4) < issued.expires_at - clock.now() <= timedelta(minutes=5)


def test_revoking_twice_is_once(installation: Installation) -> None:
    issued = installation.issue(ADMIN_EMAIL)
    changed = []
    for _ in range(2):
        with installation.change() as change:
            tokens.revoke_token(change, str(issued.id))
        changed.append(change.outcome.changed)
    assert changed == [True, False]


def test_a_foreign_key_file_signs_nothing(installation: Installation, tmp_path: Path) -> None:
    private, _ = token_format.generate_key_pair(2_048)
    foreign = key_file("foreign", tmp_path)
    foreign.write(private)
    with (
        pytest.raises(InvalidInputError, match="is not trusted by this installation"),
        installation.change() as change,
    ):
        tokens.issue_token(change, ADMIN_EMAIL, foreign, lifetime=timedelta(hours=1))


def test_a_key_file_that_others_may_read_signs_nothing(installation: Installation) -> None:
    installation.signing_key.path.chmod(0o640)
    with pytest.raises(InvalidInputError, match="is open to others"):
        installation.issue(ADMIN_EMAIL)


def test_roles_are_added_changed_and_taken(installation: Installation) -> None:
    def roles() -> list[tuple[str, str | None]]:
        with installation.session() as session:
            found = [m for m in list_members(session) if m.email == "ann@example.com"]
        return [(member.role, member.environment) for member in found]

    def give(role: Role, environment: str | None) -> None:
        with installation.change() as change:
            members.add_member(change, "ann@example.com", role, environment)

    give(Role.VIEWER, None)
    give(Role.EDITOR, "dev")
    assert roles() == [("viewer", None), ("editor", "dev")]
    give(Role.ADMIN, "dev")
    assert roles() == [("viewer", None), ("admin", "dev")]
    with installation.change() as change:
        members.remove_member(change, "ann@example.com", "dev")
    assert roles() == [("viewer", None)]
    give(Role.EDITOR, "prod")
    with installation.change() as change:
        members.remove_member(change, "ann@example.com", None)
    assert roles() == []


def test_of_two_admins_one_may_go_the_last_one_stays(installation: Installation) -> None:
    installation.token_for(Role.ADMIN, email="ann@example.com")
    with installation.change() as change:
        members.remove_member(change, ADMIN_EMAIL, None)
        with pytest.raises(ConflictError, match=r"ann@example\.com is the last admin of default"):
            members.remove_member(change, "ann@example.com", None)


def test_an_admin_of_one_environment_does_not_count_as_the_last(
    installation: Installation,
) -> None:
    installation.token_for(Role.ADMIN, "dev", email="ann@example.com")
    with pytest.raises(ConflictError, match="last admin"), installation.change() as change:
        members.remove_member(change, ADMIN_EMAIL, None)
    with installation.change() as change:
        members.remove_member(change, "ann@example.com", None)


def test_the_organization(seeded: Installation) -> None:
    with seeded.session() as session:
        organization = show_organization(session)
    assert (organization.key, organization.name) == ("default", "Default")
    assert organization.key_pattern == "[a-z0-9]+(?:[_.-][a-z0-9]+)*"


def test_the_first_set_up(empty_database: Database, tmp_path: Path) -> None:
    upgrade(empty_database.owner_url, prefix=empty_database.prefix)
    role = f"{empty_database.prefix}_owner"
    with owner_change(empty_database.owner_url, Options(), owner_role=role) as change:
        file = initialise(change, "ann@example.com", key_folder=tmp_path / "keys")
        issued = tokens.issue_token(
            change, "ann@example.com", file, lifetime=timedelta(hours=8), as_owner=True
        )
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    private, key_id = file.read()
    public = token_format.load_private_key(private.encode()).public_key()
    assert [(e.entity_type, e.entity_key, e.action) for e in change.outcome.events][1:] == [
        ("signing_key", key_id, "create"),
        ("member", "ann@example.com", "create"),
        ("token", "ann@example.com", "create"),
    ]
    modulus = empty_database.ask("SELECT modulus FROM flagctl.issuer_keys")[0][0]
    assert int.from_bytes(modulus) == public.public_numbers().n
    assert issued.expires_at > clock.now()


def test_a_new_epoch_makes_revisions_mean_something_else(installation: Installation) -> None:
    before = installation.ask("SELECT flagctl.epoch()")
    with installation.owner_change() as change:
        assert new_epoch(change) == 2
    after = installation.ask("SELECT flagctl.epoch()")
    assert before != after
    assert before[0][0].split(".")[:2] == after[0][0].split(".")[:2]
