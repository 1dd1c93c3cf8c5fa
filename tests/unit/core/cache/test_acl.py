"""The rules of Redis's users, against what the code sends."""

import hashlib
import re
from datetime import date
from fnmatch import fnmatchcase

from core.cache import acl, keys, receipts, scripts, usage
from core.notifications import CHANNEL


def commands(user: acl.User) -> set[str]:
    return {rule[1:] for rule in user.rules if rule.startswith("+")}


def called(*texts: str) -> set[str]:
    found = {name.lower() for text in texts for name in re.findall(r"redis\.call\('(\w+)'", text)}
    assert found
    return found


def test_scripts_may_call_what_they_call() -> None:
    shared = called(scripts.PUT_IF_NEWER)
    looks = called(receipts.LIST, receipts.READ_SHORT, usage.READ_DAY)
    assert commands(acl.writer()) == {*shared, *looks, "eval", "publish"}
    own = called(*(scripts.CLAIM, scripts.RELEASE, receipts.ANNOUNCE, receipts.LEAVE, usage.ADD))
    assert commands(acl.reader()) == {
        *(shared | own),
        *("eval", "subscribe", "ping", "client|setname"),
    }


def test_every_key_fits_and_others_do_not() -> None:
    own = "0123456789abcdef"
    counted = keys.usage_key(own, date(2026, 1, 31)), keys.usage_began_key(own)
    copies = keys.snapshot_key(own), keys.lease_key(own)
    for key in (*copies, *counted, keys.reader_key(own), keys.READERS):
        assert fnmatchcase(key, keys.PATTERN)
    assert not fnmatchcase("flagctl:0123456789abcdef:1:snapshot", keys.PATTERN)


def test_nothing_is_left_of_earlier_rights() -> None:
    for user in (acl.writer(), acl.reader()):
        rules = list(user.rules)
        for first, given in (
            ("resetkeys", f"~{keys.PATTERN}"),
            ("resetchannels", f"&{CHANNEL}"),
            ("-@all", "+eval"),
        ):
            assert rules.index(first) < rules.index(given)
        assert [rule for rule in rules if rule[0] in "~&"] == [f"~{keys.PATTERN}", f"&{CHANNEL}"]
        assert not [rule for rule in rules if rule.startswith(("+@", "%", "(", "nopass", ">"))]


def test_another_database_takes_select() -> None:
    assert commands(acl.reader(database=1)) - commands(acl.reader()) == {"select"}
    assert commands(acl.writer(database=1)) - commands(acl.writer()) == {"select"}


def test_a_password_shows_as_a_digest_and_is_the_only_one() -> None:
    user = acl.writer("w").with_password("a needle of a password")
    digest = hashlib.sha256(b"a needle of a password").hexdigest()
    assert user.rules[-2:] == ("resetpass", f"#{digest}")
    assert "needle" not in user.command() + user.line() + repr(user)
    assert user.command().startswith("ACL SETUSER w on ")
    assert user.line() == user.command().replace("ACL SETUSER", "user")
