"""Secrets hide themselves."""

import pickle
import traceback

import pytest

from core.errors import FlagctlError, InvalidInputError
from core.settings import Secret
from tests.support.homes import ADDRESS, PASSWORD, Home


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
