"""The same installation on another Postgres: restored, or on a standby."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

from core.settings import Secret
from flagctl.embedded.binaries import postgres_folder
from flagctl.embedded.unprivileged import account_for, give
from tests.support.installations import Installation


def at(url: Secret, host: str) -> Secret:
    """The same address on the server whose socket is in another folder."""
    parts = urlsplit(url.reveal())
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    return Secret(urlunsplit(parts._replace(query=urlencode(query | {"host": host}))))


def host_of(url: Secret) -> str:
    return parse_qs(urlsplit(url.reveal()).query)["host"][0]


def moved(
    installation: Installation, host: str, *, superuser: Secret | None = None
) -> Installation:
    """It and its logins on another server, which may have a superuser of its own."""
    own = at(superuser or installation.superuser_url, host).reveal()
    return replace(
        installation,
        superuser_url=Secret(own.replace("/postgres?", f"/{installation.name}?")),
        owner_url=at(installation.owner_url, host),
        admin_url=at(installation.admin_url, host),
        reader_url=at(installation.reader_url, host),
        trust_url=at(installation.trust_url, host),
    )


def copy_cluster(installation: Installation, folder: Path, *, follows: bool = False) -> None:
    """The data folder of a standby of its server: one that follows it, or stays as it is."""
    folder.parent.mkdir(mode=0o700)
    subprocess.run(
        [
            str(postgres_folder() / "bin" / "pg_basebackup"),
            *("-D", str(folder), "-d", installation.superuser_url.reveal()),
            *("-X", "stream", "-c", "fast"),
            *(["-R"] if follows else []),
        ],
        check=True,
        capture_output=True,
        env={"PATH": os.defpath, "LC_ALL": "C"},
    )
    (folder / "standby.signal").touch()
    account = account_for(folder)
    for path in (folder, *folder.rglob("*")):
        give(path, account)
