"""The keys that flagctl's own issuer signs with."""

from typing import TYPE_CHECKING, Annotated

import typer

from flagctl import output, tables, writes
from flagctl.options import parse_duration, writing
from flagctl.state import current
from flagctl.times import relative

if TYPE_CHECKING:
    from core.services.change import Change
    from core.services.key_files import KeyFile
    from core.services.signing_keys import RotatedKey

app = typer.Typer(no_args_is_help=True, help="Keys of flagctl's own issuer.")


@app.command("list")
def list_() -> None:
    """List signing keys, newest first, and which of them lie here.

    With FLAGCTL_OWNER_DATABASE_URL, or as a member with a token.

    \b
    flagctl signing-key list
    """
    from core.queries.issuers import list_issuers, list_signing_keys
    from core.services.signing_keys import ISSUER_PREFIX

    here = current()
    with here.reading_trust() as session:
        keys = list_signing_keys(session)
        own = next((issuer for issuer in list_issuers(session) if issuer.built_in), None)
    file = here.key_file(own.issuer.removeprefix(ISSUER_PREFIX)) if own else None
    lying = {key.id: path for key in keys if file and (path := _path(file, key.id))}
    if here.output != "table":
        documents = [output.plain(key) | {"file": lying.get(key.id)} for key in keys]
        output.emit(documents, here.output)
        return
    tables.draw(
        keys,
        [
            ("signing key", lambda k: k.id),
            ("state", lambda k: k.state),
            ("ends", lambda k: relative(k.revoked_at or k.expires_at)),
            ("created", lambda k: relative(k.created_at)),
            ("file", lambda k: lying.get(k.id)),
        ],
        empty="no signing keys; `flagctl signing-key rotate` makes one",
    )


def _path(file: "KeyFile", key_id: str) -> str | None:
    """Where the private half lies here. The first key's file does not say whose it is, and not at
    all while it is closed.
    """
    from core.errors import InvalidInputError

    rotated = file.of_key(key_id)
    if rotated.path.exists():
        return str(rotated.path)
    try:
        return str(file.path) if file.read()[1] == key_id else None
    except InvalidInputError:
        return None


@app.command()
@writing
def rotate(
    overlap: Annotated[
        str,
        typer.Option("--overlap", metavar="TIME", help="How long old keys are trusted."),
    ] = "24h",
    passphrase: Annotated[
        bool,
        typer.Option("--passphrase", help="Protect the new key with a passphrase of its own."),
    ] = False,
) -> None:
    """Make a new signing key; the old ones are trusted a while longer.

    Tokens are signed with the new one from now on, where its file lies. Needs
    FLAGCTL_OWNER_DATABASE_URL.

    \b
    flagctl signing-key rotate --overlap 24h
    """
    from core.auth.tokens import generate_key_pair

    here = current()
    duration = parse_duration(overlap)
    new = here.new_passphrase(wanted=True) if passphrase else None
    key_pair = generate_key_pair()

    def apply(change: "Change") -> "RotatedKey":
        from dataclasses import replace

        from core.services.signing_keys import installation_of, rotate_key

        file = here.key_file(installation_of(change))
        if new is not None:
            file = replace(file, passphrase=new)
        else:
            _check_what_opens_the_old_one(change, file)
        return rotate_key(change, file, key_pair, overlap=duration)

    made, outcome = here.with_passphrase(lambda: here.write_as_owner(apply))
    document = {"id": made.id, "file": made.path, "ending": made.ending, "ends": made.ends}
    writes.report(here, outcome, document, f"{made.id} signs from now on")
    if here.output == "table" and outcome.committed:
        _say_what_follows(made)


def _check_what_opens_the_old_one(change: "Change", file: "KeyFile") -> None:
    """What was mistyped would lock the new key for ever."""
    from core.services.identities import find_issuer
    from core.services.signing_keys import live_keys

    trusted = [key.key_id for key in live_keys(change, find_issuer(change, None).id)]
    present = file.newest(trusted)
    if present.is_encrypted():
        present.read()


def _say_what_follows(made: "RotatedKey") -> None:
    output.say(f"its file is {made.path}: keep it safe, and take it to where tokens are issued")
    if made.ending:
        output.say(
            f"{', '.join(made.ending)} are trusted until {made.ends:%Y-%m-%d %H:%M:%S} UTC;"
            " their files can be deleted then"
        )


@app.command()
@writing
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As `signing-key list` shows it.")],
) -> None:
    """Refuse a signing key, and every token it signed, from now on.

    Needs FLAGCTL_OWNER_DATABASE_URL. For a key that somebody else may have; else rotate.

    \b
    flagctl signing-key revoke KEY_ID
    """
    from core.services.signing_keys import revoke_key

    here = current()
    _, outcome = here.write_as_owner(lambda change: revoke_key(change, key_id))
    verb = "revoked" if outcome.changed else "was revoked already:"
    writes.report(here, outcome, {"signing_key": key_id}, f"{verb} {key_id}")
