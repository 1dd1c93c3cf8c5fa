"""The private signing key on disk: 0600 in a folder of its own, refused otherwise."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from core.auth import tokens
from core.errors import ConflictError, InvalidInputError


@dataclass(frozen=True, slots=True)
class KeyFile:
    """Where the private key of flagctl's own issuer lies."""

    path: Path

    def read(self) -> tuple[str, str]:
        """The private key (PEM) and its key id. Raises InvalidInputError."""
        from cryptography.hazmat.primitives import serialization

        try:
            with self.path.open("rb") as file:
                mode = os.fstat(file.fileno())
                if mode.st_uid != os.geteuid() or stat.S_IMODE(mode.st_mode) & 0o077:
                    raise InvalidInputError(
                        f"the signing key {self.path} is open to others",
                        hint=f"chmod 600 {self.path}",
                    )
                pem = file.read()
        except OSError as error:
            raise InvalidInputError(
                f"the signing key {self.path} cannot be read: {error.strerror}",
                hint="`flagctl init` makes it; tokens are issued where it lies",
            ) from None
        try:
            private = serialization.load_pem_private_key(pem, password=None)
        except (ValueError, TypeError):
            raise InvalidInputError(f"{self.path} holds no private key in PEM") from None
        public = private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return pem.decode(), tokens.key_id_of(public.decode())

    def write(self, private_key: str) -> None:
        """Never over an existing one. Raises ConflictError, InvalidInputError."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise ConflictError(
                f"the signing key {self.path} exists already", hint="move it away first"
            ) from None
        except OSError as error:
            raise InvalidInputError(
                f"the signing key {self.path} cannot be written: {error.strerror}"
            ) from None
        with os.fdopen(descriptor, "w") as file:
            file.write(private_key)
            file.flush()
            os.fsync(file.fileno())


def default_folder() -> Path:
    """`$XDG_DATA_HOME/flagctl/keys`."""
    base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(base).expanduser() / "flagctl" / "keys"


def key_file(installation_id: str, folder: Path | None = None) -> KeyFile:
    """The key of one installation: several can be kept side by side."""
    return KeyFile((folder or default_folder()) / f"{installation_id}.pem")
