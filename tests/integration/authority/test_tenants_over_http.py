"""Two organizations on one read server, whose environments have the same names."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.auth.api_keys import generate, parse
from core.services import api_keys, flags, overrides
from core.services.change import Options, change
from core.services.organizations import archive_organization, unarchive_organization
from tests.support import readers
from tests.support.grounds import Ground
from tests.support.readers import Reader
from tests.support.waiting import eventually


@pytest.fixture
def ground_with_keys(own_ground: Ground) -> tuple[Ground, dict[str, str]]:
    """An API key of prod in each organization; `theirs` is on in acme alone."""
    ground, installation = own_ground, own_ground.installation
    keys = {}
    for name, token in (("default", ground.admin), ("acme", ground.foreign_admin)):
        options = Options(confirmed=True)
        with change(installation.admin_url, token, options, organization=name) as opened:
            keys[name] = api_keys.create_key(opened, "reader", "prod").key
            if name == "acme":
                overrides.set_override(opened, "theirs", "prod", "on")
                flags.create_flag(opened, flags.Definition("checkout", default_enabled=True))
    return ground, keys


@pytest.fixture
def reader(ground_with_keys: tuple[Ground, dict[str, str]], tmp_path: Path) -> Iterator[Reader]:
    installation = ground_with_keys[0].installation
    with readers.running(tmp_path, readers.settings_for(installation)) as running:
        yield running


def test_a_key_reads_its_own_organization(
    ground_with_keys: tuple[Ground, dict[str, str]], reader: Reader
) -> None:
    _, keys = ground_with_keys
    for _ in range(2):  # from Postgres, then from memory
        own = reader.get("/v1/flags?environment=prod", keys["default"])
        theirs = reader.get("/v1/flags?environment=prod", keys["acme"])
        assert own.json() == {"checkout": False}
        assert theirs.json() == {"checkout": True, "theirs": True}
        assert own.headers["etag"] != theirs.headers["etag"]
    assert reader.get("/v1/configs", keys["default"]).json() == {"limit": 5}
    assert reader.get("/v1/configs", keys["acme"]).json() == {"salary": 123_456}


def test_a_key_for_the_others_environment_is_no_key(
    ground_with_keys: tuple[Ground, dict[str, str]], reader: Reader
) -> None:
    """Well-formed, with the id of a real environment, and a checksum that is right."""
    _, keys = ground_with_keys
    foreign = parse(keys["acme"])
    assert foreign is not None
    forged = generate(foreign.kind, foreign.environment_id)
    assert reader.get("/v1/flags", forged).status == 401


def test_the_history_of_another_is_told_to_nobody(
    ground_with_keys: tuple[Ground, dict[str, str]], reader: Reader
) -> None:
    ground, _ = ground_with_keys
    own = f"Bearer {ground.admin.reveal()}"
    answers = [
        reader.get(f"/admin/audit-logs?organization={name}", own, admin=True)
        for name in ("acme", "nowhere")
    ]
    assert [answer.status for answer in answers] == [403, 403]
    assert answers[0].body.replace(b"acme", b"nowhere") == answers[1].body
    page = reader.get("/admin/audit-logs", own, admin=True)
    assert "theirs" not in page.body.decode()
    theirs = reader.get("/admin/audit-logs", f"Bearer {ground.foreign_admin.reveal()}", admin=True)
    assert "theirs" in theirs.body.decode()
    assert "limit" not in theirs.body.decode()


def test_metrics_name_no_tenant(
    ground_with_keys: tuple[Ground, dict[str, str]], reader: Reader
) -> None:
    _, keys = ground_with_keys
    for key in keys.values():
        reader.get("/v1/flags", key)
    said = reader.get("/metrics", admin=True).body.decode()
    for word in ("acme", "theirs", "checkout", "default"):
        assert word not in said


def test_an_archived_organization_is_served_no_more(
    ground_with_keys: tuple[Ground, dict[str, str]], reader: Reader
) -> None:
    ground, keys = ground_with_keys
    assert reader.get("/v1/flags", keys["acme"]).status == 200
    with ground.installation.owner_change(confirmed=True) as opened:
        archive_organization(opened, "acme")
    eventually(lambda: reader.get("/v1/flags", keys["acme"]).status == 401, "refused", within=20)
    assert reader.get("/v1/flags", keys["default"]).status == 200
    with ground.installation.owner_change() as opened:
        unarchive_organization(opened, "acme")
    eventually(lambda: reader.get("/v1/flags", keys["acme"]).status == 200, "back", within=20)
