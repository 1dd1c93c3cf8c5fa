"""Which file may say what: a token goes to the database that it was written beside."""

import os
import stat

import pytest

from core.errors import InvalidInputError, UnauthenticatedError
from core.settings import Secret, load
from tests.support.homes import ADDRESS, PASSWORD, Home


@pytest.mark.parametrize("opened", ["file", "folder"])
@pytest.mark.parametrize("bit", [stat.S_IWGRP, stat.S_IWOTH])
def test_a_project_file_that_others_may_write_is_not_read(
    home: Home, opened: str, bit: int
) -> None:
    home.write(home.project_file, 'org = "project"')
    path = home.project_file if opened == "file" else home.project_file.parent
    path.chmod(stat.S_IMODE(path.stat().st_mode) | bit)
    settings = home.load()
    assert settings.org is None
    assert [str(home.project_file) in warning for warning in settings.warnings] == [True]


def test_a_project_file_of_somebody_else_is_not_read(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.write(home.project_file, 'org = "project"')
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    settings = home.load()
    assert settings.org is None
    assert len(settings.warnings) == 1


def test_a_project_file_that_is_a_link_is_not_read(home: Home) -> None:
    real = home.directory / "real.toml"
    home.write(real, 'env = "prod"')
    home.project_file.parent.mkdir(mode=0o700, exist_ok=True)
    home.project_file.symlink_to(real)
    settings = home.load()
    assert settings.env is None
    assert "was not read" in settings.warnings[0]


def test_a_token_from_the_environment(home: Home) -> None:
    assert home.load(token="t", database_url=ADDRESS).admin_token() == Secret("t")
    assert home.load(token="t").admin_token() == Secret("t")


def test_a_token_from_one_file(home: Home) -> None:
    home.write(home.project_file, f'token = "t"\ndatabase_url = "{ADDRESS}"')
    assert home.load().admin_token() == Secret("t")


def test_a_token_file_beside_its_config(home: Home) -> None:
    home.write(home.project_file, f'token_file = "token"\ndatabase_url = "{ADDRESS}"')
    home.write(home.project_file.with_name("token"), "  abc \n")
    assert home.load().admin_token() == Secret("abc")


def test_a_token_file_that_cannot_be_read(home: Home) -> None:
    with pytest.raises(UnauthenticatedError, match="cannot be read: No such file"):
        home.load(token_file=str(home.directory / "none")).admin_token()
    home.write(home.directory / "token", "")
    (home.directory / "token").write_bytes(b"\xff")
    with pytest.raises(UnauthenticatedError, match="cannot be read: not UTF-8"):
        home.load(token_file=str(home.directory / "token")).admin_token()


def test_no_token_at_all(home: Home) -> None:
    with pytest.raises(UnauthenticatedError, match="there is no token") as caught:
        home.load().admin_token()
    assert "FLAGCTL_TOKEN" in caught.value.hint


@pytest.mark.parametrize("kind", ["token", "token_file"])
def test_a_project_is_not_handed_the_token_of_the_environment(home: Home, kind: str) -> None:
    home.write(home.project_file, f'database_url = "{ADDRESS}"')
    with pytest.raises(UnauthenticatedError) as caught:
        home.load(**{kind: "mine"}).admin_token()
    assert "the environment" in caught.value.message
    assert str(home.project_file) in caught.value.message


def test_nor_that_of_the_users_file(home: Home) -> None:
    home.write(home.project_file, f'database_url = "{ADDRESS}"')
    home.write(home.user_file, 'token = "mine"')
    with pytest.raises(UnauthenticatedError, match=str(home.user_file)):
        home.load().admin_token()


def test_nor_that_of_another_context(home: Home) -> None:
    home.write(home.user_file, '[contexts.a]\ntoken = "mine"\n[contexts.b]\norg = "x"')
    home.write(home.project_file, f'[contexts.a]\ndatabase_url = "{ADDRESS}"')
    with pytest.raises(UnauthenticatedError):
        home.load(option="a").admin_token()


@pytest.mark.parametrize("kind", ["token", "token_file"])
@pytest.mark.parametrize("chosen", ["option", "variable", "file"])
def test_nor_that_of_the_context_in_use(home: Home, kind: str, chosen: str) -> None:
    """The project even brings a context of that name."""
    line = 'context = "a"\n' if chosen == "file" else ""
    home.write(home.user_file, f'{line}[contexts.a]\n{kind} = "mine"\ndatabase_url = "{ADDRESS}"')
    home.write(home.project_file, f'{line}[contexts.a]\ndatabase_url = "{ADDRESS}"')
    variables = {"context": "a"} if chosen == "variable" else {}
    settings = home.load(option="a" if chosen == "option" else None, **variables)
    with pytest.raises(UnauthenticatedError, match=r"the token comes from .*config"):
        settings.admin_token()


def test_a_project_cannot_choose_a_context_of_the_user(home: Home) -> None:
    home.write(home.user_file, f'[contexts.a]\ntoken = "mine"\ndatabase_url = "{ADDRESS}"')
    home.write(home.project_file, 'context = "a"')
    with pytest.raises(InvalidInputError, match="there is no context 'a' in it"):
        home.load()


def test_a_projects_token_file_does_not_reach_into_the_users_folder(home: Home) -> None:
    home.write(home.user_file.with_name("token"), "mine")
    named = os.path.relpath(home.user_file.with_name("token"), home.project_file.parent)
    home.write(
        home.project_file, f'[contexts.a]\ntoken_file = "{named}"\ndatabase_url = "{ADDRESS}"'
    )
    with pytest.raises(UnauthenticatedError, match="names a file outside its folder"):
        home.load(option="a").admin_token()


def test_half_of_a_pair_in_the_environment_is_no_pair(home: Home) -> None:
    home.write(home.user_file, f'token = "mine"\ndatabase_url = "{ADDRESS}"')
    with pytest.raises(UnauthenticatedError, match="the database address from the environment"):
        home.load(database_url=ADDRESS).admin_token()
    with pytest.raises(UnauthenticatedError, match="the token comes from the environment"):
        home.load(token="mine").admin_token()


@pytest.mark.parametrize("variable", ["PGPASSWORD", "PGSERVICE"])
@pytest.mark.parametrize(
    "address",
    [
        "postgresql://ann@evil/x",
        "postgresql:///x?host=evil",
        "postgresql://h/a:b@c",
        "postgresql://ann:@evil/x",
        "postgresql://evil/x?options=%3Fpassword%3Db",
    ],
)
def test_nor_is_it_handed_a_password_of_libpqs(home: Home, variable: str, address: str) -> None:
    home.write(home.project_file, f'database_url = "{address}"\nowner_database_url = "{address}"')
    environ = {"XDG_CONFIG_HOME": "/nonexistent", variable: PASSWORD}
    settings = load(environ, home.directory)
    for name in ("database_url", "owner_database_url"):
        with pytest.raises(UnauthenticatedError, match=f"come with {variable}") as caught:
            settings.require(name)
        assert PASSWORD not in caught.value.message
    assert load({}, home.directory).require("database_url") == Secret(address)


@pytest.mark.parametrize("part", ["hostaddr=6.6.6.6", "host%61ddr=6.6.6.6", "service=prod"])
def test_nor_one_of_a_password_file_under_a_false_host(home: Home, part: str) -> None:
    """libpq looks there for the host that is written, and connects to the other."""
    home.write(home.project_file, f'database_url = "postgresql://db.example.com/x?{part}"')
    with pytest.raises(UnauthenticatedError, match="the password would come with"):
        home.load().require("database_url")
    home.write(home.user_file, f'database_url = "postgresql://db.example.com/x?{part}"')
    home.project_file.unlink()
    assert home.load().require("database_url")


@pytest.mark.parametrize("address", [ADDRESS, "postgresql://ann@h/x?sslmode=require&password=p"])
def test_an_address_with_a_password_keeps_to_it(home: Home, address: str) -> None:
    home.write(home.project_file, f'database_url = "{address}"')
    settings = load({"PGPASSWORD": "other"}, home.directory)
    assert settings.require("database_url") == Secret(address)


def test_a_token_in_the_environment_replaces_the_files_token_file(home: Home) -> None:
    home.write(home.project_file, f'token_file = "t"\ndatabase_url = "{ADDRESS}"')
    settings = home.load(token="new", database_url=ADDRESS)
    assert settings.token_file is None
    assert settings.admin_token() == Secret("new")


@pytest.mark.parametrize("named", ["../token", "~/token", "/etc/hostname", "link"])
def test_a_project_names_files_of_its_own_folder_only(home: Home, named: str) -> None:
    (home.directory / "token").write_text("secret")
    home.write(home.project_file, f'token_file = "{named}"\ndatabase_url = "{ADDRESS}"')
    (home.project_file.parent / "link").symlink_to(home.directory / "token")
    with pytest.raises(UnauthenticatedError, match="names a file outside its folder"):
        home.load().admin_token()
