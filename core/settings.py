"""Settings: environment variables and config.toml, read once, with all faults reported together.

Order: environment, `.flagctl/config.toml` in this directory or the nearest parent,
`$XDG_CONFIG_HOME/flagctl/config.toml`. Options of a command come before all of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from core.errors import InvalidInputError, NotFoundError, UnauthenticatedError
from core.setting_files import (
    FILE_NAME,
    PREFIX,
    PROJECT_FOLDER,
    Source,
    files,
    from_environment,
    from_file,
)
from core.setting_values import SECRETS, Network, parse

# Where libpq takes a password from when an address has none; a password file names its hosts.
_LIBPQ_PASSWORDS: Final = ("PGPASSWORD", "PGSERVICE")


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that does not show itself: not in logs, errors or tracebacks."""

    _value: str

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__


@dataclass(frozen=True, slots=True)
class Settings:
    """The values in force. `sources` says for each where it came from."""

    database_url: Secret | None = None
    owner_database_url: Secret | None = None
    reader_database_url: Secret | None = None
    listen_database_url: Secret | None = None
    redis_url: Secret | None = None
    token: Secret | None = None
    token_file: str | None = None
    key_folder: str | None = None
    last_good_folder: str | None = None
    key_passphrase: Secret | None = None
    api_key: Secret | None = None
    org: str | None = None
    env: str | None = None
    output: str = "table"
    role_prefix: str = "flagctl"
    listen: str = "127.0.0.1:8000"
    admin_listen: str | None = None
    public_url: str | None = None  # without a slash at its end
    log_level: str = "info"
    login_issuer: str | None = None
    login_client_id: str | None = None
    login_audience: str | None = None
    check_interval: float = 2.0  # seconds
    cors_origins: tuple[str, ...] = ()
    client_rate: float = 10.0  # requests a second, for each client key and address
    client_burst: float = 100.0  # requests
    trusted_proxies: tuple[Network, ...] = ()
    header_timeout: float = 10.0  # seconds
    header_bytes: int = 65_536  # with the request line
    body_timeout: float = 30.0  # seconds
    condition_depth: int = 32
    condition_parts: int = 1_000
    list_values: int = 10_000
    flag_rules: int = 1_000
    context_depth: int = 32
    context_bytes: int = 1_048_576
    stream_limit: int = 10_000  # streams of a process
    stream_key_limit: int = 5_000  # of them, of one API key
    stream_heartbeat: float = 15.0  # seconds
    stream_rate: float = 2_000.0  # streams a second that are told of a change
    fast_lane: str = "on"
    traces: str = "off"
    usage: str = "on"  # whether what is asked for is counted
    usage_interval: float = 10.0  # seconds between two flushes
    max_connections: int = 20_000  # for each listener of each process
    max_environments: int = 1_000  # in the memory of each process
    workers: int = 1  # processes
    metrics_environments: float = 100  # that have series of their own
    metrics_evaluations: float = 0  # series, by flag and variant
    sources: Mapping[str, Source] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    libpq_password: str | None = None  # the variable that libpq would take one from

    @property
    def context(self) -> str | None:
        """Which installation this is, where a context says so: that of the database's address."""
        names = ("database_url", "owner_database_url", "reader_database_url")
        source = next((self.sources[name] for name in names if name in self.sources), None)
        return source.context if source is not None else None

    def require(self, name: str) -> Secret:
        """A secret setting that this command cannot do without.

        Raises UnauthenticatedError for a project's address that would be handed libpq's password.
        """
        value: Secret | None = getattr(self, name)
        if value is None:
            raise InvalidInputError(
                f"{PREFIX}{name.upper()} is not set",
                hint=f"set it, or put {name} into {PROJECT_FOLDER}/{FILE_NAME}; "
                "`flagctl dev` makes a complete installation to try",
            )
        source = self.sources.get(name)
        if source is not None and source.confined and name.endswith("database_url"):
            _refuse_foreign_password(value, source, self.libpq_password)
        return value

    def admin_token(self) -> Secret:
        """The admin's token, for use with `database_url` only.

        Raises UnauthenticatedError when there is none, or when token and address come from
        different places: a foreign project file must not be handed one's own token.
        """
        name = "token" if self.token is not None else "token_file"
        if self.token is None and self.token_file is None:
            raise UnauthenticatedError(
                "there is no token",
                hint=f"set {PREFIX}TOKEN or {PREFIX}TOKEN_FILE; "
                "`flagctl init` and `flagctl token issue` print one",
            )
        token_source, address_source = self.sources[name], self.sources.get("database_url")
        if address_source is not None and address_source.name != token_source.name:
            raise UnauthenticatedError(
                f"the token comes from {token_source.name}, "
                f"the database address from {address_source.name}",
                hint="take both from the same place, so that no file can collect foreign tokens",
            )
        if self.token is not None:
            return self.token
        return _read_token(token_source.file(self.token_file or ""))

    def key_folder_path(self) -> Path | None:
        """Where signing keys lie, if not in the usual place."""
        if self.key_folder is None:
            return None
        return self.sources["key_folder"].file(self.key_folder)

    def last_good_folder_path(self) -> Path | None:
        """Where a read server keeps its last good snapshots, if anywhere."""
        if self.last_good_folder is None:
            return None
        return self.sources["last_good_folder"].file(self.last_good_folder)

    def for_login(self, name: str, *, option: str) -> str:
        """A setting of `flagctl login`. Raises InvalidInputError when there is none, and for one of
        a project's file: whoever wrote it could have foreigners log in for them.
        """
        value: str | None = getattr(self, name)
        variable = f"{PREFIX}{name.upper()}"
        if value is None:
            raise InvalidInputError(f"{variable} is not set", hint=f"set it, or pass {option}")
        if self.sources[name].confined:
            raise InvalidInputError(
                f"{name} is not taken from a project's file: {self.sources[name].name}",
                hint=f"set {variable}, put it into a file of your own, or pass {option}",
            )
        return value


def _refuse_foreign_password(address: Secret, project: Source, variable: str | None) -> None:
    """An address without a password gets one from elsewhere: from the environment, or from a file
    by its host, whatever the true address is. A cloned repository must not collect it.
    """
    from psycopg import ProgrammingError, conninfo  # deferred: slow to import

    try:
        parts = conninfo.conninfo_to_dict(address.reveal())
    except ProgrammingError:
        return  # core.addresses says so
    elsewhere = variable or next((n for n in ("hostaddr", "service") if parts.get(n)), None)
    if elsewhere and not parts.get("password"):
        raise UnauthenticatedError(
            f"the password would come with {elsewhere}, the database address from {project.name}",
            hint="take both from the same place, so that no file can collect foreign passwords",
        )


def _read_token(path: Path) -> Secret:
    try:
        return Secret(path.read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise UnauthenticatedError(f"the token file {path} cannot be read: {reason}") from None


def current_directory() -> Path:
    """Where the program stands. Raises InvalidInputError when that was deleted meanwhile."""
    try:
        return Path.cwd()
    except OSError:
        raise InvalidInputError(
            "the current directory does not exist any more", hint="go to another one"
        ) from None


def load(environ: Mapping[str, str], directory: Path, *, context: str | None = None) -> Settings:
    """Read all sources. Raises InvalidInputError that lists every fault at once."""
    faults: list[str] = []
    warnings: list[str] = []
    sources = [from_environment(environ, faults)]
    wanted = context or environ.get(f"{PREFIX}CONTEXT") or None
    found_context = False
    for path in files(environ, directory, warnings):
        source, has_context = from_file(path, wanted, faults)
        found_context = found_context or has_context
        sources.append(source)
    if wanted and not found_context and not faults:
        raise NotFoundError(
            f"there is no context {wanted!r}",
            hint=f"contexts are tables [contexts.NAME] in {FILE_NAME}",
        )
    values, origins = _merged(sources, faults)
    return Settings(
        **values,
        sources=origins,
        warnings=tuple(warnings),
        libpq_password=next((v for v in _LIBPQ_PASSWORDS if environ.get(v)), None),
    )


def check_environment(environ: Mapping[str, str]) -> None:
    """Raise InvalidInputError that lists every fault of these variables. No file is read."""
    faults: list[str] = []
    _merged([from_environment(environ, faults)], faults)


def _merged(
    sources: Sequence[Source], faults: list[str]
) -> tuple[dict[str, Any], dict[str, Source]]:
    """Values and where each comes from; the first source is the strongest."""
    values: dict[str, Any] = {}
    origins: dict[str, Source] = {}
    for source in reversed(sources):
        # A place that brings its own token replaces both ways of naming one.
        if "token" in source.values or "token_file" in source.values:
            values.pop("token", None)
            values.pop("token_file", None)
        for name, raw in source.values.items():
            try:
                value = parse(name, raw)
                values[name] = Secret(value) if name in SECRETS else value
                origins[name] = source
            except ValueError as error:
                faults.append(f"{name} in {source.name}: {error}")
    if faults:
        raise InvalidInputError("these settings are not valid:\n  " + "\n  ".join(faults))
    return values, origins
