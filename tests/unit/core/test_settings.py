import os
import pickle
import stat
import traceback
from collections.abc import Mapping
from pathlib import Path

import pytest

from core.errors import FlagctlError, InvalidInputError, NotFoundError, UnauthenticatedError
from core.evaluation.limits import DEFAULT, READABLE
from core.setting_values import NUMBERS, parse_address
from core.settings import Secret, Settings, load
from readserver.contexts import Bounds

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


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_without_anything_there_are_defaults(home: Home) -> None:
    settings = home.load()
    assert settings == Settings()
    assert (settings.output, settings.role_prefix, settings.listen) == (
        "table",
        "flagctl",
        "127.0.0.1:8000",
    )
    assert settings.check_interval == 2.0


def test_the_environment_beats_the_project_which_beats_the_user(home: Home) -> None:
    home.write(home.user_file, 'org = "user"\nenv = "user"\noutput = "json"\n')
    home.write(home.project_file, 'org = "project"\nenv = "project"\n')
    settings = home.load(org="environment")
    assert (settings.org, settings.env, settings.output) == ("environment", "project", "json")
    assert settings.sources["org"].name == "the environment"
    assert settings.sources["env"].name == str(home.project_file)
    assert settings.sources["output"].name == str(home.user_file)


def test_the_nearest_project_counts(home: Home) -> None:
    home.write(home.project_file, 'org = "far"')
    home.write(home.directory / ".flagctl" / "config.toml", 'env = "near"')
    settings = home.load()
    assert (settings.env, settings.org) == ("near", None)


def test_an_empty_variable_is_no_setting(home: Home) -> None:
    home.write(home.user_file, 'org = "user"')
    assert home.load(org="").org == "user"


def test_variables_that_are_not_ours_are_left_alone(home: Home) -> None:
    assert home.load(test_database_url="x", something="y") == Settings()


CONTEXTS = """
context = "two"
org = "base"
env = "base"
[contexts.one]
org = "one"
[contexts.two]
org = "two"
"""


@pytest.mark.parametrize(
    ("option", "variable", "org"), [(None, "", "two"), (None, "one", "one"), ("two", "one", "two")]
)
def test_a_context_lays_itself_over_its_file(
    home: Home, option: str | None, variable: str, org: str
) -> None:
    home.write(home.user_file, CONTEXTS)
    settings = home.load(option=option, context=variable)
    assert (settings.org, settings.env) == (org, "base")
    assert settings.sources["org"].name == f"{home.user_file} (context {org})"


def test_an_unknown_context(home: Home) -> None:
    home.write(home.user_file, CONTEXTS)
    with pytest.raises(NotFoundError, match="there is no context 'three'"):
        home.load(option="three")
    home.write(home.user_file, 'context = "nowhere"')
    with pytest.raises(InvalidInputError, match="there is no context 'nowhere' in it"):
        home.load()


@pytest.mark.parametrize("text", ["contexts = 3", "[contexts]\na = 4\n"])
def test_contexts_that_are_no_tables(home: Home, text: str) -> None:
    home.write(home.user_file, text)
    with pytest.raises(NotFoundError):
        home.load(option="a")


def test_all_faults_are_told_together(home: Home) -> None:
    home.write(home.project_file, 'nonsense = 1\noutput = "xml"\n')
    home.write(home.user_file, "org = [")
    with pytest.raises(InvalidInputError) as caught:
        home.load(
            database_url="mysql://x",
            redis_url="http://x",
            check_interval="nan",
            log_level="loud",
            listen="here",
            role_prefix="a-b",
        )
    message = caught.value.message
    assert message.count("\n  ") == 9
    for words in (
        "nonsense is not a setting",
        "output in",
        "it is not valid TOML",
        "database_url in the environment: it starts with postgresql://",
        "redis_url in the environment: it starts with redis://, rediss:// or unix://",
        "check_interval in the environment: it is a number of seconds between 0.05 and 3600",
        "log_level in the environment: it is one of debug, info, warning, error",
        "listen in the environment: it is HOST:PORT",
        "role_prefix in the environment: it is a word",
    ):
        assert words in message


@pytest.mark.parametrize("value", ["0", "0.04", "3601", "inf", "-1", "two", "1e999"])
def test_an_interval_out_of_bounds(home: Home, value: str) -> None:
    with pytest.raises(InvalidInputError, match="check_interval"):
        home.load(check_interval=value)


@pytest.mark.parametrize("line", ["check_interval = true", "org = 3", 'org = ""', "token = []"])
def test_a_value_of_the_wrong_type_in_a_file(home: Home, line: str) -> None:
    home.write(home.user_file, line)
    with pytest.raises(InvalidInputError, match=line.split(maxsplit=1)[0]):
        home.load()


def test_a_variable_that_is_no_text(home: Home) -> None:
    with pytest.raises(InvalidInputError, match="FLAGCTL_ORG is not valid UTF-8 text"):
        home.load(org=os.fsdecode(b"\xff"))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8000", ("127.0.0.1", 8000)),
        ("[::1]:80", ("::1", 80)),
        ("localhost:0", ("localhost", 0)),
    ],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "8000", ":8000", "a:", "a:b", "a:65536", "a:-1", "a:٣"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT"):
        parse_address(text)


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


def test_a_path_that_cannot_be_followed_is_no_file(home: Home) -> None:
    settings = load({"XDG_CONFIG_HOME": "/" + "x" * 5_000}, home.directory)
    assert settings == Settings()


def test_a_user_without_a_home(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home(_path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", no_home)
    assert load({}, home.directory) == Settings()


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


def test_the_context_is_that_of_the_address(home: Home) -> None:
    home.write(home.user_file, f'[contexts.a]\ndatabase_url = "{ADDRESS}"')
    home.write(home.project_file, "[contexts.b]\nenv = 'x'")
    assert home.load(option="a").context == "a"
    assert home.load(option="b").context is None
    assert home.load(option="a", database_url=ADDRESS).context is None


def test_a_token_in_the_environment_replaces_the_files_token_file(home: Home) -> None:
    home.write(home.project_file, f'token_file = "t"\ndatabase_url = "{ADDRESS}"')
    settings = home.load(token="new", database_url=ADDRESS)
    assert settings.token_file is None
    assert settings.admin_token() == Secret("new")


def test_a_setting_that_is_missing_is_named(home: Home) -> None:
    with pytest.raises(InvalidInputError, match="FLAGCTL_DATABASE_URL is not set") as caught:
        home.load().require("database_url")
    assert "flagctl dev" in caught.value.hint


def test_a_secret_does_not_show_itself(home: Home) -> None:
    home.write(home.user_file, f'redis_url = "redis://:{PASSWORD}@h"\ntoken = "{PASSWORD}"')
    settings = home.load(database_url=ADDRESS, api_key=PASSWORD)
    secret = settings.require("database_url")
    assert secret.reveal() == ADDRESS
    shown = [repr(secret), str(secret), f"{secret}", f"{secret!r:>40}", "%s" % secret]  # noqa: UP031
    shown += [repr(settings), str(settings), f"{settings.sources}", repr([secret])]
    try:
        raise FlagctlError(f"cannot use {secret} of {settings}")
    except FlagctlError as error:
        shown.append("".join(traceback.TracebackException.from_exception(error).format()))
    assert not [text for text in shown if PASSWORD in text]


def test_a_fault_does_not_show_a_secret(home: Home) -> None:
    with pytest.raises(InvalidInputError) as caught:
        home.load(database_url=f"mysql://ann:{PASSWORD}@h", redis_url=f"http://:{PASSWORD}@h")
    assert PASSWORD not in caught.value.message + caught.value.hint


def test_secrets_compare_by_value() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert pickle.loads(pickle.dumps(Secret("a"))) == Secret("a")


@pytest.mark.parametrize("named", ["../token", "~/token", "/etc/hostname", "link"])
def test_a_project_names_files_of_its_own_folder_only(home: Home, named: str) -> None:
    (home.directory / "token").write_text("secret")
    home.write(home.project_file, f'token_file = "{named}"\ndatabase_url = "{ADDRESS}"')
    (home.project_file.parent / "link").symlink_to(home.directory / "token")
    with pytest.raises(UnauthenticatedError, match="names a file outside its folder"):
        home.load().admin_token()


def test_a_project_file_that_is_a_link_is_not_read(home: Home) -> None:
    real = home.directory / "real.toml"
    home.write(real, 'env = "prod"')
    home.project_file.parent.mkdir(mode=0o700, exist_ok=True)
    home.project_file.symlink_to(real)
    settings = home.load()
    assert settings.env is None
    assert "was not read" in settings.warnings[0]


def test_the_settings_for_browsers(home: Home) -> None:
    settings = home.load(
        cors_origins="https://App.example.com, http://localhost:3000,capacitor://localhost",
        trusted_proxies="10.0.0.0/8, ::1",
        client_rate="0.5",
    )
    assert settings.cors_origins == (
        "https://app.example.com",
        "http://localhost:3000",
        "capacitor://localhost",
    )
    assert [str(network) for network in settings.trusted_proxies] == ["10.0.0.0/8", "::1/128"]
    assert settings.client_rate == 0.5
    assert home.load(cors_origins="*").cors_origins == ("*",)
    assert home.load().cors_origins == home.load().trusted_proxies == ()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("cors_origins", "https://a.example/", "'https://a.example/' is not an origin"),
        ("cors_origins", "a.example", "'a.example' is not an origin"),
        ("cors_origins", "https://a.example,", "'' is not an origin"),
        ("cors_origins", "*,https://a.example", "'*' is not an origin"),
        ("cors_origins", "null", "'null' is not an origin"),
        ("cors_origins", "https://ü.example", "is not an origin"),
        ("cors_origins", "https://a.example:443", "which browsers leave out"),
        ("cors_origins", "http://[::1]:80", "which browsers leave out"),
        ("trusted_proxies", "10.0.0.1/8", "'10.0.0.1/8' is neither an address nor a network"),
        ("trusted_proxies", "proxy.example", "is neither an address nor a network"),
        ("client_rate", "0", "it is a number of requests a second between 0.01 and 100000"),
        ("client_burst", "0.5", "it is a number of requests between 1 and 100000"),
        ("header_timeout", "601", "it is a number of seconds between 0.05 and 600"),
        ("header_bytes", "4095", "it is a whole number of bytes between 4096 and 1048576"),
        ("body_timeout", "soon", "it is a number of seconds between 0.05 and 3600"),
        ("condition_depth", "65", "it is a whole number of levels between 1 and 64"),
        ("list_values", "2.5", "it is a whole number of values between 1 and 100000"),
        ("context_bytes", "x", "it is a whole number of bytes between 1024 and 16777216"),
    ],
)
def test_what_they_cannot_be(home: Home, name: str, value: str, words: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        home.load(**{name: value})
    assert f"{name} in the environment: " in caught.value.message
    assert words in caught.value.message


def test_the_bounds_of_rules_and_contexts(home: Home) -> None:
    home.write(home.user_file, "condition_depth = 40")
    settings = home.load(list_values="7")
    assert (settings.condition_depth, settings.list_values) == (40, 7)
    assert type(settings.list_values) is int
    names = {
        "condition_depth": "depth",
        "condition_parts": "nodes",
        "list_values": "values",
        "flag_rules": "rules",
    }
    usual = Settings()
    for setting, field in names.items():
        assert getattr(usual, setting) == getattr(DEFAULT, field)
        assert NUMBERS[setting].most == getattr(READABLE, field), "readers take what writers may"
    assert Bounds(usual.context_depth, usual.context_bytes) == Bounds()


@pytest.mark.parametrize(
    "name", ["cors_origins", "trusted_proxies", "client_burst", "condition_depth"]
)
def test_their_types_in_a_file(home: Home, name: str) -> None:
    home.write(home.user_file, f"{name} = true")
    with pytest.raises(InvalidInputError, match=name):
        home.load()
