"""The private signing key on disk: 0600 in a folder of its own, refused otherwise.

With a passphrase it is encrypted as well (PKCS #8). What stretches the passphrase there is weak
against whoever has the file and time: so it has to be long.
"""

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from core.auth import tokens
from core.errors import ConflictError, InvalidInputError, PassphraseNeededError
from core.settings import Secret

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

MIN_PASSPHRASE: Final = 12  # characters
MAX_PASSPHRASE: Final = 1_000  # bytes; OpenSSL takes a few more
_SETTING: Final = "FLAGCTL_KEY_PASSPHRASE"


@dataclass(frozen=True, slots=True)
class KeyFile:
    """Where the private key of flagctl's own issuer lies, and what opens it."""

    path: Path
    passphrase: Secret | None = None

    def read(self) -> tuple[str, str]:
        """The private key (PEM, no longer encrypted) and its key id.

        Raises InvalidInputError; PassphraseNeededError when it is encrypted and none was given.
        """
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
        private = self._load(pem)
        public = private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        opened = private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return opened.decode(), tokens.key_id_of(public.decode())

    def _load(self, pem: bytes) -> "RSAPrivateKey":
        try:
            return tokens.load_private_key(pem)
        except TypeError:  # it is encrypted
            pass
        except ValueError:
            raise InvalidInputError(f"{self.path} holds no private key in PEM") from None
        if self.passphrase is None:
            raise PassphraseNeededError(
                f"the signing key {self.path} is protected by a passphrase",
                hint=f"set {_SETTING}; on a terminal it is asked for",
            )
        try:
            return tokens.load_private_key(pem, self.passphrase.reveal().encode())
        except (ValueError, TypeError):  # a wrong one, an empty one
            raise InvalidInputError(
                f"the passphrase does not open the signing key {self.path}",
                hint=f"it was mistyped, or {_SETTING} is that of another key",
            ) from None

    def of_key(self, key_id: str) -> "KeyFile":
        """Where a key lies that came by rotation, beside the first one."""
        return replace(self, path=self.path.with_name(f"{self.path.stem}.{key_id}.pem"))

    def newest(self, trusted: Sequence[str]) -> "KeyFile":
        """The first file here of these keys, the newest of which come first; else the first key's
        file, which does not say whose it is, and may not be here.
        """
        files = (self.of_key(key_id) for key_id in trusted)
        return next((file for file in files if file.path.exists()), self)

    def is_encrypted(self) -> bool:
        """False also where there is nothing to read."""
        try:
            return b"ENCRYPTED" in self.path.read_bytes()
        except OSError:
            return False

    def write(self, private_key: str) -> None:
        """Never over an existing one. Raises ConflictError, InvalidInputError."""
        content = self._sealed(private_key)
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
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _keep_name(self.path.parent)

    def _sealed(self, private_key: str) -> str:
        """What is to stand in the file: the key, encrypted if there is a passphrase."""
        if self.passphrase is None:
            return private_key
        from cryptography.hazmat.primitives import serialization

        secret = check_passphrase(self.passphrase).reveal().encode()
        private = tokens.load_private_key(private_key.encode())
        return private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(secret),
        ).decode()


def _keep_name(folder: Path) -> None:
    """A new file's name is lost in a crash unless its folder is written too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_passphrase(passphrase: Secret) -> Secret:
    """Refuse one that would protect nothing, or that nothing could open again."""
    text = passphrase.reveal()
    if len(text) < MIN_PASSPHRASE or len(text.encode()) > MAX_PASSPHRASE:
        raise InvalidInputError(
            f"the passphrase has less than {MIN_PASSPHRASE} characters, or far too many",
            hint="a few random words are long enough and can be typed",
        )
    return passphrase


def default_folder() -> Path:
    """`$XDG_DATA_HOME/flagctl/keys`."""
    base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(base).expanduser() / "flagctl" / "keys"


def key_file(
    installation_id: str, folder: Path | None = None, passphrase: Secret | None = None
) -> KeyFile:
    """The key of one installation: several can be kept side by side."""
    return KeyFile((folder or default_folder()) / f"{installation_id}.pem", passphrase)
