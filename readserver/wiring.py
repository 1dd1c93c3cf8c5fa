"""The parts of a read server, and who of them tells whom. Nothing runs yet, nothing connects."""

from functools import partial

from core.errors import InvalidInputError
from core.settings import Secret, Settings
from readserver import cors, open_files
from readserver.answers import prepare
from readserver.applications import Parts
from readserver.broadcast import RedisSubscriber
from readserver.checker import Checker
from readserver.common_holdings import CommonHoldings
from readserver.evaluation_counts import EvaluationCounts
from readserver.fast_path import Memo
from readserver.freshness import Freshness
from readserver.held import Held
from readserver.host import Hearing, Peers
from readserver.host_messages import Changed, Filled
from readserver.kinds import Kinds
from readserver.listener import PostgresListener
from readserver.provider import Provider
from readserver.redis_library import Redis
from readserver.stores.memory import MemoryStore
from readserver.stores.redis import RedisStore, connect
from readserver.streams import StreamBounds, Streams
from readserver.tallies import uncounted
from readserver.telemetry import Counts
from readserver.trusted_keys import TrustedKeys
from readserver.truth import Truth
from readserver.usage import Usage


class Wiring:
    """One reader's parts. Lives on one event loop."""

    def __init__(self, settings: Settings, peers: Peers, kinds: Kinds) -> None:
        """Raises InvalidInputError for an address that cannot be read."""
        database = settings.require("reader_database_url")
        self.settings = settings
        self.peers = peers
        self._kinds = kinds
        self.truth, self.memory = Truth(), MemoryStore()
        self._memo = Memo()
        self.counts = Counts(evaluations=EvaluationCounts(int(settings.metrics_evaluations)))
        self.redis = _redis(settings, self.counts, kinds)
        self.usage = _usage(settings, self.redis, self.memory, self.counts)
        self.postgres = kinds.postgres(database, self.counts)
        self.held = self._held()
        self.freshness = Freshness(self.truth, self.held)
        self.provider = self._provider()
        self.common = self._common()
        self.streams = Streams(self.held.prepared, self.counts, _stream_bounds(settings))
        self._keys = TrustedKeys(ask_for_check=lambda: self.checker.soon())
        self.checker = self._checker(database)
        self.listener = PostgresListener(
            settings.listen_database_url or database,
            on_message=self._heard,
            on_connection=self.checker.soon,
        )

    def subscriber(self, client: Redis) -> RedisSubscriber:
        return RedisSubscriber(
            client,
            on_message=self._heard,
            on_connection=self.checker.soon,
            on_up=partial(self._saw_redis, is_up=True),
            on_down=partial(self._saw_redis, is_up=False),
        )

    def hearing(self) -> Hearing:
        return Hearing(
            on_change=self.provider.hint,
            on_filled=self.provider.filled,
            on_holding=self.common.hear,
            on_answer=self.checker.learn,
            on_wanted=self.checker.want,
            on_missed=self._missed,
            on_redis_up=partial(self._mark_redis, is_up=True),
            on_redis_down=partial(self._mark_redis, is_up=False),
        )

    def parts(self) -> Parts:
        return Parts(
            self.settings,
            self.provider,
            self.held,
            self.streams,
            self.truth,
            self.freshness,
            self._memo,
            self.counts,
            self.redis,
            self.postgres,
            self._keys,
            self.peers,
            self._kinds,
        )

    def _held(self) -> Held:
        return Held(
            self.memory,
            on_change=self._changed,
            prepare=partial(
                prepare,
                vary=cors.vary(self.settings.cors_origins),
                evaluations=self._kinds.evaluations,
                tallies_of=self.usage.of if self.usage is not None else uncounted,
            ),
            most=self.settings.max_environments,
            is_followed=lambda environment_id: environment_id in self.streams,
        )

    def _provider(self) -> Provider:
        return Provider(
            held=self.held,
            redis=self.redis,
            postgres=self.postgres,
            truth=self.truth,
            freshness=self.freshness,
            counts=self.counts,
            ask_for_check=lambda: self.checker.soon(),
            ask_about_unknown=lambda: self.checker.for_unknown(),
            on_filled=lambda environment_id: self.peers.tell(Filled(environment_id)),
        )

    def _common(self) -> CommonHoldings:
        common = CommonHoldings(
            self.held,
            self.provider,
            self.truth,
            self.peers,
            most=self.settings.max_environments,
        )
        self.held.watchers.append(common)
        return common

    def _checker(self, database: Secret) -> Checker:
        return Checker(
            database,
            interval=self.settings.check_interval,
            keys=self._keys,
            counts=self.counts,
            peers=self.peers,
            on_answer=self.provider.verified,
            on_failure=self.provider.lost,
        )

    def _changed(self) -> None:
        self._memo.forget()
        self.streams.wake()

    def _heard(self, environment_id: str, revision: int, channel: str) -> None:
        self.peers.tell(Changed(environment_id, revision, channel))
        self.provider.hint(environment_id, revision, channel)

    def _missed(self) -> None:
        self.checker.soon()
        self.common.hear()

    def _saw_redis(self, *, is_up: bool) -> None:
        self._mark_redis(is_up=is_up)
        self.peers.tell_redis(is_up=is_up)

    def _mark_redis(self, *, is_up: bool) -> None:
        if self.redis is not None:
            self.redis.mark_up() if is_up else self.redis.mark_down()


def _redis(settings: Settings, counts: Counts, kinds: Kinds) -> RedisStore | None:
    if settings.redis_url is None:
        return None
    try:
        return kinds.redis(connect(settings.redis_url), counts)
    except ValueError:
        raise InvalidInputError(
            "the address of Redis cannot be read",
            hint="it looks like redis://:password@host:6379/0",
        ) from None


def _usage(
    settings: Settings, redis: RedisStore | None, memory: MemoryStore, counts: Counts
) -> Usage | None:
    if redis is None or settings.usage == "off":
        return None
    return Usage(redis, memory, counts, interval=settings.usage_interval)


def _stream_bounds(settings: Settings) -> StreamBounds:
    return StreamBounds(
        most=min(settings.stream_limit, open_files.room_for_streams()),
        most_per_key=settings.stream_key_limit,
        heartbeat=settings.stream_heartbeat,
        rate=settings.stream_rate,
    )
