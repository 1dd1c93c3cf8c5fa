"""The copies in Redis: who may do what with them, and whether they are right."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.cache.acl import READER, WRITER
from flagctl import output, progress, tables
from flagctl.state import current

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.cache.acl import User
    from flagctl.copies import Copies, Copy

    Act = Callable[[str], Copy | None]

app = typer.Typer(no_args_is_help=True, help="The copies in Redis.")

_STDIN = "-"


@app.command()
def acl(
    writer: Annotated[
        str, typer.Option("--writer", metavar="NAME", help="The user of commands that write.")
    ] = WRITER,
    reader: Annotated[
        str, typer.Option("--reader", metavar="NAME", help="The user of read servers.")
    ] = READER,
    database: Annotated[
        int,
        typer.Option(
            "--database", metavar="N", min=0, help="The address's number; above 0 it takes SELECT."
        ),
    ] = 0,
    passwords: Annotated[
        str | None,
        typer.Option(
            "--passwords",
            metavar="FILE",
            help="Lines of NAME PASSWORD; made with new ones if it is not there; - is stdin.",
        ),
    ] = None,
    aclfile: Annotated[
        bool, typer.Option("--aclfile", help="Print lines of an aclfile, not commands.")
    ] = False,
) -> None:
    """Print the users that Redis needs: what each may do, and nothing more.

    \b
    flagctl cache acl --passwords redis.passwords | redis-cli
    """
    from core.cache import acl as rules

    _check_names(writer, reader)
    users = (rules.writer(writer, database=database), rules.reader(reader, database=database))
    if passwords is not None:
        known = _passwords(passwords, (writer, reader))
        users = (users[0].with_password(known[writer]), users[1].with_password(known[reader]))
    here = current()
    here.show(
        {"users": [{"name": u.name, "rules": u.rules, "command": u.command()} for u in users]},
        lambda: _print(users, aclfile=aclfile, has_passwords=passwords is not None),
    )


@app.command()
def status() -> None:
    """Show what Redis has of each environment, by what it says itself.

    Compares revisions alone. Needs FLAGCTL_READER_DATABASE_URL, as `verify` does.

    \b
    flagctl cache status
    """
    found = _each("looking", lambda both: both.status)
    current().show({"environments": found}, lambda: _print_copies(found))


@app.command()
def verify() -> None:
    """Compare the copies of all environments with Postgres; exit 8 if not.

    Checks each seal and compares digests of all that a copy has. An environment without a copy is
    right: readers make one when they need it. Needs FLAGCTL_READER_DATABASE_URL: the secret of the
    seals is for readers alone.

    \b
    flagctl cache verify
    """
    found = _each("comparing", lambda both: both.verify)
    _judge(found, "`flagctl cache repair` makes them right")


@app.command()
def repair() -> None:
    """Put into Redis what Postgres has, wherever it is missing or differs.

    What is newer by the time it is written stays. Needs FLAGCTL_READER_DATABASE_URL.

    \b
    flagctl cache repair
    """
    found = _each("repairing", lambda both: both.repair)
    _judge(found, "somebody goes on writing there: `flagctl cache acl` says who may")


@app.command()
def flush() -> None:
    """Drop the copies of all environments; readers make new ones when they need them.

    Needs FLAGCTL_READER_DATABASE_URL.

    \b
    flagctl cache flush
    """
    from flagctl import copies

    here = current()
    with copies.opened(here.settings) as both:
        for id_ in progress.over(both.names, "dropping", total=len(both.names)):
            both.flush(id_)
    number = len(both.names)
    here.show(
        {"flushed": number}, lambda: output.line(f"dropped the copies of {number} environments")
    )


def _each(doing: str, act: "Callable[[Copies], Act]") -> "list[Copy]":
    """What `act` of the open stores says of every environment."""
    from flagctl import copies

    with copies.opened(current().settings) as both:
        ids = progress.over(both.names, doing, total=len(both.names))
        return copies.each(ids, act(both))


def _judge(found: list["Copy"], hint: str) -> None:
    """Print them. Raises CheckFailedError when one is wrong."""
    from core.errors import CheckFailedError

    wrong = [copy for copy in found if not copy.verdict.is_right]
    current().show({"environments": found}, lambda: _print_copies(found))
    if wrong:
        raise CheckFailedError(
            f"{len(wrong)} of {len(found)} copies in Redis are not what Postgres has", hint=hint
        )


def _print_copies(found: list["Copy"]) -> None:
    tables.draw(
        found,
        [
            ("environment", lambda copy: copy.environment),
            ("copy", lambda copy: copy.verdict),
            ("revision", lambda copy: copy.revision),
            ("in Redis", lambda copy: copy.copy_revision),
            ("bytes", lambda copy: copy.size or ""),
        ],
        empty="there is no environment",
    )


def _print(users: tuple["User", ...], *, aclfile: bool, has_passwords: bool) -> None:
    for user in users:
        output.line(user.line() if aclfile else user.command())
    if not has_passwords:
        output.say("a new user of these has no password yet, and lets nobody in: see --passwords")


def _check_names(writer: str, reader: str) -> None:
    from core.errors import InvalidInputError

    for name in (writer, reader):
        plain = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
        if not plain or len(name) > 64:
            raise InvalidInputError(
                f"{name!r} is no name of a user", hint="letters, digits, _ and -, at most 64"
            )
        if name == "default":
            raise InvalidInputError(
                "the default user is everybody's", hint="name one for flagctl alone"
            )
    if writer == reader:
        raise InvalidInputError("writer and reader are two users", hint="name them differently")


def _passwords(source: str, names: tuple[str, str]) -> dict[str, str]:
    """By name, as `source` has them. Raises InvalidInputError; it never repeats one."""
    from core.errors import InvalidInputError

    try:
        if source == _STDIN:
            text = sys.stdin.read()
        else:
            _make(Path(source), names)
            text = Path(source).read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidInputError(f"{source} cannot be used: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidInputError(f"{source} is not UTF-8 text") from None
    where = "stdin" if source == _STDIN else source
    lines = (line.partition(" ") for line in text.splitlines())
    known = {name: password.strip() for name, _, password in lines}
    for name in names:
        _check_password(known.get(name, ""), f"the password of {name} in {where}")
    if known[names[0]] == known[names[1]]:
        raise InvalidInputError(f"both passwords in {where} are the same", hint="make another one")
    return known


def _check_password(password: str, what: str) -> None:
    """Redis keeps, and we print, a digest that is quick to compute: only a long one is safe."""
    from core.errors import InvalidInputError

    if not password:
        raise InvalidInputError(f"{what} is missing", hint="a line is NAME PASSWORD")
    if len(password) < 16 or not password.isprintable():
        raise InvalidInputError(
            f"{what} is too short, or not printable",
            hint="at least 16 characters, made at random; a file that is not there is made so",
        )


def _make(path: Path, names: tuple[str, str]) -> None:
    """A file with new passwords, for us alone; one that is there stays. Raises OSError."""
    import os
    import secrets

    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.writelines(f"{name} {secrets.token_hex(24)}\n" for name in names)
    output.say(f"made {path} with a password for each; Redis gets their digests only")
