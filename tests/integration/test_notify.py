"""NOTIFY: one message for each environment whose revision rose, and nothing but the hint."""

from collections.abc import Callable

import pytest

from core.errors import NotFoundError
from core.notifications import CHANNEL, parse
from core.services import configs, environments, flags, overrides
from core.services.change import Change
from tests.support.installations import Installation
from tests.support.seeds import THEME, fill


def heard(installation: Installation, *writes: Callable[[], object]) -> list[str]:
    """The messages that a reader's login gets of these writes, in order."""
    with installation.connect("reader") as listener:
        listener.execute(f"LISTEN {CHANNEL}".encode())
        for write in writes:
            write()
        with installation.connect("reader") as other:  # the last message of all, to wait for
            other.execute("SELECT pg_notify(%s, 'the end')", [CHANNEL])
        messages: list[str] = []
        for notification in listener.notifies(timeout=10):
            if notification.payload == "the end":
                return messages
            messages.append(notification.payload)
    pytest.fail("the last message did not come")


def writing(
    installation: Installation, *calls: Callable[[Change], object], dry_run: bool = False
) -> Callable[[], None]:
    def write() -> None:
        with installation.change(dry_run=dry_run, confirmed=True) as change:
            for call in calls:
                call(change)

    return write


def setting(key: str, environment: str, state: str) -> Callable[[Change], object]:
    return lambda change: overrides.set_override(change, key, environment, state)


def test_a_message_is_an_id_and_a_revision(installation: Installation) -> None:
    writing(installation, fill)()
    set_on = writing(installation, lambda c: overrides.set_override(c, "theme", "prod", "on"))
    (message,) = heard(installation, set_on)
    assert message == f"{installation.environment_id('prod')} {installation.revisions()['prod']}"
    notification = parse(message)
    assert notification is not None
    assert notification.render() == message


def test_each_environment_is_named_once_in_a_change(installation: Installation) -> None:
    messages = heard(installation, writing(installation, fill))
    assert sorted(messages) == sorted(
        f"{installation.environment_id(key)} {revision}"
        for key, revision in installation.revisions().items()
    )


@pytest.mark.parametrize(
    "call",
    [
        lambda c: overrides.set_override(c, "theme", "dev", "blue"),
        lambda c: configs.set_value(c, "max_items", "dev", 5),
        lambda c: flags.update_flag(c, "theme", flags.Edit(description="words")),
        lambda c: environments.update_environment(c, "dev", environments.Edit(description="x")),
    ],
)
def test_nothing_is_said_when_no_answer_changes(
    call: Callable[[Change], object], seeded: Installation
) -> None:
    assert heard(seeded, writing(seeded, call)) == []


def test_nothing_is_said_of_what_is_not_committed(seeded: Installation) -> None:
    def unknown_flag(change: Change) -> None:
        flags.set_default(change, "theme", enabled=True)
        flags.set_default(change, "nope", enabled=True)

    def break_off() -> None:
        with pytest.raises(NotFoundError):
            writing(seeded, unknown_flag)()

    create = writing(seeded, lambda c: flags.create_flag(c, flags.Definition("x")), dry_run=True)
    assert heard(seeded, create, break_off) == []


def test_messages_come_in_the_order_of_the_revisions(installation: Installation) -> None:
    writing(installation, lambda c: flags.create_flag(c, THEME))()
    states = ("on", "off", "blue", "inherit")
    messages = heard(
        installation,
        *(writing(installation, setting("theme", "dev", state)) for state in states),
    )
    assert [int(message.split()[1]) for message in messages] == [3, 4, 5, 6]


def test_a_deleted_environment_is_announced_with_a_higher_revision(
    installation: Installation,
) -> None:
    public_id = installation.environment_id("dev")
    delete = writing(installation, lambda c: environments.delete_environment(c, "dev"))
    assert heard(installation, delete) == [f"{public_id} 2"]
