"""What is said of readers that follow, and of those that do not."""

import pytest

from core.errors import CheckFailedError
from flagctl.followers import Follower, report


def follower(pid: int, milliseconds: float | None) -> Follower:
    serves = 7 if milliseconds is not None else 6
    return Follower("web-1", pid, "1.0", "prod", 7, serves, milliseconds)


def test_who_follows_is_said_with_its_time(capsys: pytest.CaptureFixture[str]) -> None:
    report([follower(1, 4.4), follower(2, 12.6)], in_words=True)
    assert capsys.readouterr().err == (
        "web-1 (pid 1, 1.0) serves prod after 4 ms\nweb-1 (pid 2, 1.0) serves prod after 13 ms\n"
    )
    report([], in_words=True)
    assert capsys.readouterr().err == "no reader that is up holds this environment\n"
    report([follower(1, 4.4)], in_words=False)
    assert capsys.readouterr().err == ""


def test_who_does_not_is_named_and_many_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    many = [follower(pid, 1.0) for pid in range(102)] + [follower(pid, None) for pid in range(12)]
    with pytest.raises(CheckFailedError) as raised:
        report(many, in_words=True)
    lines = capsys.readouterr().err.splitlines()
    assert (len(lines), lines[-1]) == (101, "and 2 more")
    assert raised.value.message.startswith("the change is committed, but not every reader serves")
    assert raised.value.message.count("still serves revision 6 of prod") == 10
    assert raised.value.message.endswith("; and 2 more")
