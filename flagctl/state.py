"""What a command works with: the settings, and the doors to reading and writing."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, cast

from flagctl import output
from flagctl.output import Format

if TYPE_CHECKING:
    from core.errors import FlagctlError
    from core.services.change import Change, Options, Outcome
    from core.services.key_files import KeyFile
    from core.sessions import Session, Wish
    from core.settings import Secret, Settings
    from flagctl.followers import Follower

T = TypeVar("T")


@dataclass
class State:
    """One invocation. `given` holds the global options that were typed, wherever they stood."""

    given: dict[str, Any] = field(default_factory=dict)
    typed_passphrase: "Secret | None" = None
    _to_follow: "tuple[Outcome, float] | None" = None  # with when it was committed
    _followers: "list[Follower] | None" = None
    _follow_error: "FlagctlError | None" = None

    @cached_property
    def settings(self) -> "Settings":
        from core import settings  # deferred: `--help` needs none

        loaded = settings.load(
            os.environ, settings.current_directory(), context=self.given.get("context")
        )
        for warning in loaded.warnings:
            output.warn(warning)
        return loaded

    @property
    def output(self) -> output.Format:
        return cast("output.Format", self.given.get("output") or self.settings.output)

    @property
    def output_anyway(self) -> Format:
        """The same where the settings, which may say it, are what is wrong."""
        from core.errors import FlagctlError

        try:
            return self.output
        except FlagctlError:
            return "table"

    @property
    def in_context(self) -> str:
        """For questions: which installation it is that somebody says yes to."""
        context = self.settings.context
        return f" (context {output.printable(context)})" if context else ""

    @property
    def organization(self) -> str | None:
        return self.given.get("org") or self.settings.org

    def environment(self, given: str | None) -> str:
        """The environment of `--env`, or the default one. Raises InvalidInputError."""
        from core.errors import InvalidInputError

        name = given or self.settings.env
        if name is None:
            raise InvalidInputError("no environment is named", hint="--env ENV, or FLAGCTL_ENV")
        return name

    @contextmanager
    def reading(self) -> Iterator["Session"]:
        """An authenticated session for queries."""
        from core.sessions import session

        settings = self.settings
        with session(
            settings.require("database_url"),
            settings.admin_token(),
            organization=self.organization,
        ) as opened:
            yield opened

    @contextmanager
    def reading_as_owner(self) -> Iterator["Session"]:
        """The same with the owner's connection: no token is needed, every organization seen."""
        from core.sessions import owner_session

        with owner_session(
            self.settings.require("owner_database_url"),
            owner_role=self._owner_role,
            organization=self.organization or "default",
        ) as opened:
            yield opened

    def reading_trust(self) -> AbstractContextManager["Session"]:
        """For issuers and their keys: whoever keeps them has no token; whoever has one sees those
        of the own organization.
        """
        is_keeper = self.settings.owner_database_url is not None
        return self.reading_as_owner() if is_keeper else self.reading()

    @property
    def asks_back(self) -> bool:
        """Whether something grave needs a word of its own: not with --yes, not in a dry run."""
        return not (self.given.get("yes") or self.given.get("dry_run"))

    def write(
        self,
        apply: Callable[["Change"], T],
        *,
        confirmed: bool = False,
        wish: "Callable[[Options], Wish] | None" = None,
    ) -> tuple[T, "Outcome"]:
        """Run `apply` as one change and commit; then tell Redis. Asks back where that is needed.

        What `apply` will write may be wished for: that saves two ways to Postgres and back.
        """
        from core.services.change import change

        def attempt(options: "Options") -> tuple[T, "Outcome"]:
            settings = self.settings
            with change(
                settings.require("database_url"),
                settings.admin_token(),
                options,
                organization=self.organization,
                wish=wish(options) if wish is not None else None,
            ) as opened:
                result = apply(opened)
            return result, opened.outcome

        result, outcome = self._confirmed(attempt, self._write_options(confirmed=confirmed))
        self.announce(outcome)
        return result, outcome

    def write_as_owner(
        self, apply: Callable[["Change"], T], *, organization: str | None = None
    ) -> tuple[T, "Outcome"]:
        """The same with the owner's connection, which needs no token."""
        from core.services.change import owner_change

        def attempt(options: "Options") -> tuple[T, "Outcome"]:
            with owner_change(
                self.settings.require("owner_database_url"),
                options,
                owner_role=self._owner_role,
                organization=organization or self.organization or "default",
            ) as opened:
                result = apply(opened)
            return result, opened.outcome

        result, outcome = self._confirmed(attempt, self._write_options(confirmed=False))
        self.announce(outcome)
        return result, outcome

    @property
    def _owner_role(self) -> str:
        from core.services.grants import Group, group_name

        return group_name(self.settings.role_prefix, Group.OWNER)

    def key_file(self, installation_id: str) -> "KeyFile":
        """The signing key of an installation, with what opens it, typed or set."""
        from core.services.key_files import key_file

        return key_file(
            installation_id,
            self.settings.key_folder_path(),
            self.typed_passphrase or self.settings.key_passphrase,
        )

    def new_passphrase(self, *, wanted: bool) -> "Secret | None":
        """What is to protect a new signing key: the setting, or what is typed, twice, if `wanted`.

        Raises InvalidInputError for a bad one; PassphraseNeededError where nobody can type it.
        """
        from core.errors import InvalidInputError, PassphraseNeededError
        from core.services.key_files import check_passphrase
        from core.settings import Secret

        passphrase = self.settings.key_passphrase
        if passphrase is None and wanted:
            if not output.is_interactive():
                raise PassphraseNeededError(
                    "a passphrase cannot be asked for here", hint="set FLAGCTL_KEY_PASSPHRASE"
                )
            passphrase = Secret(output.ask_hidden("Passphrase for the signing key: "))
            if passphrase != Secret(output.ask_hidden("The same again: ")):
                raise InvalidInputError("the two are not the same", hint="try again")
        return passphrase if passphrase is None else check_passphrase(passphrase)

    def with_passphrase(self, attempt: Callable[[], T]) -> T:
        """Ask for the signing key's passphrase when it turns out to have one, and try again.

        Between the two, not inside: nobody is to wait for the lock while somebody types.
        """
        from core.errors import PassphraseNeededError
        from core.settings import Secret

        try:
            return attempt()
        except PassphraseNeededError as error:
            if not output.is_interactive():
                raise
            output.say(f"{error.message}.")
            self.typed_passphrase = Secret(output.ask_hidden("Passphrase: "))
            return attempt()

    def announce(self, outcome: "Outcome") -> None:
        """Tell Redis that older copies are no longer good. The change is committed either way."""
        if outcome.committed and outcome.raised and self.given.get("wait"):
            self._to_follow = outcome, time.monotonic()
        if not outcome.committed or not outcome.raised or self.settings.redis_url is None:
            return
        from core.cache.invalidation import Change, announce

        problem = announce(
            self.settings.redis_url,
            [Change(r.public_id, outcome.epoch, r.revision, str(r.stamp)) for r in outcome.raised],
        )
        if problem is not None:
            output.warn(
                f"the change is committed, but Redis could not be told: {problem}; "
                "readers learn of it from Postgres"
            )

    def followers(self) -> "list[Follower] | None":
        """With --wait: the readers that hold what was changed, once they follow or time is up; none
        when Redis cannot say, and then `finish` says that."""
        if self._followers is None and self._to_follow is not None:
            from core.errors import CheckFailedError
            from flagctl.followers import wait

            outcome, committed_at = self._to_follow
            address, seconds = self._waiting()
            try:
                self._followers = wait(address, outcome, since=committed_at, seconds=seconds)
            except CheckFailedError as error:
                self._followers, self._follow_error = [], error
        return self._followers

    def finish(self) -> None:
        """The end of a command that did what it should. Raises CheckFailedError when a reader does
        not follow a change that was to be waited for."""
        followers = self.followers()
        if self._follow_error is not None:
            raise self._follow_error
        if followers is not None:
            from flagctl.followers import report

            report(followers, in_words=self.output == "table")

    def _waiting(self) -> tuple["Secret", float]:
        """Where receipts are, and for how many seconds they are waited for."""
        from flagctl.options import parse_duration

        seconds = parse_duration(self.given.get("timeout") or "10s").total_seconds()
        return self.settings.require("redis_url"), seconds

    def show(self, value: Any, human: Callable[[], None]) -> None:
        """What a query found: as a document, or for people as `human` prints it."""
        if self.output == "table":
            human()
        else:
            output.emit(value, self.output)

    def _write_options(self, *, confirmed: bool) -> "Options":
        """Raises InvalidInputError, also for a --wait that cannot be: nothing is written then."""
        from core.errors import InvalidInputError
        from core.evaluation.limits import Limits
        from core.names import check_text
        from core.services.change import Options

        if self.given.get("wait"):
            self._waiting()
        elif "timeout" in self.given:
            raise InvalidInputError("--timeout goes with --wait")
        settings = self.settings
        reason = self.given.get("reason")
        return Options(
            reason=None if reason is None else check_text(reason, what="the reason"),
            dry_run=bool(self.given.get("dry_run")),
            if_revision=self.given.get("if_revision"),
            confirmed=confirmed or bool(self.given.get("yes")),
            limits=Limits(
                depth=settings.condition_depth,
                nodes=settings.condition_parts,
                values=settings.list_values,
                rules=settings.flag_rules,
            ),
        )

    def _confirmed(
        self, attempt: Callable[["Options"], tuple[T, "Outcome"]], options: "Options"
    ) -> tuple[T, "Outcome"]:
        from dataclasses import replace

        from core.errors import ConfirmationNeededError

        try:
            return attempt(options)
        except ConfirmationNeededError as error:
            if not output.is_interactive():
                raise ConfirmationNeededError(
                    error.message, hint="pass --yes to do it all the same"
                ) from None
            output.confirm(f"{error.message}{self.in_context}")
            return attempt(replace(options, confirmed=True))


def current() -> State:
    """The state of the command that runs."""
    from typer._click.globals import get_current_context

    return cast("State", get_current_context().find_root().obj)
