"""Where settings come from, and which one counts."""

from pathlib import Path

import pytest

from core.errors import InvalidInputError, NotFoundError
from core.settings import Settings, load
from tests.support.homes import ADDRESS, Home


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


def test_a_path_that_cannot_be_followed_is_no_file(home: Home) -> None:
    settings = load({"XDG_CONFIG_HOME": "/" + "x" * 5_000}, home.directory)
    assert settings == Settings()


def test_a_user_without_a_home(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home(_path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", no_home)
    assert load({}, home.directory) == Settings()


def test_the_context_is_that_of_the_address(home: Home) -> None:
    home.write(home.user_file, f'[contexts.a]\ndatabase_url = "{ADDRESS}"')
    home.write(home.project_file, "[contexts.b]\nenv = 'x'")
    assert home.load(option="a").context == "a"
    assert home.load(option="b").context is None
    assert home.load(option="a", database_url=ADDRESS).context is None


def test_a_setting_that_is_missing_is_named(home: Home) -> None:
    with pytest.raises(InvalidInputError, match="FLAGCTL_DATABASE_URL is not set") as caught:
        home.load().require("database_url")
    assert "flagctl dev" in caught.value.hint
