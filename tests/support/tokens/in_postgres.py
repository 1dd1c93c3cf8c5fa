"""The verdict of flagctl.verify_token, for many tokens in one round trip."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from core.auth.tokens import Claims
from tests.support.installations import Installation
from tests.support.tokens.maker import AUDIENCE, ISSUER, KEY_ID, MAX_LIFETIME, NOW, Maker

# A refusal ends a statement; here it is a row.
_VERDICTS = """
CREATE FUNCTION pg_temp.verdicts(tokens text[], at timestamptz)
    RETURNS TABLE (claims jsonb, issued text, expires text, state text, message text)
    LANGUAGE plpgsql
AS $$
DECLARE
    token text;
BEGIN
    FOREACH token IN ARRAY tokens LOOP
        state := NULL;
        message := NULL;
        BEGIN
            claims := flagctl.verify_token(token, 'default', at) -> 'claims';
        EXCEPTION WHEN OTHERS THEN
            claims := NULL;
            GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
        END;
        issued := trunc((claims ->> 'iat')::numeric * 1000000);
        expires := trunc((claims ->> 'exp')::numeric * 1000000);
        RETURN NEXT;
    END LOOP;
END
$$
"""
_REFUSED = "FC003"  # anything else would be an error of ours
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Refusal:
    state: str
    message: str


@dataclass(frozen=True)
class Judge:
    """A connection of the superuser's, in which one maker's key is trusted."""

    connection: psycopg.Connection[Any]

    def verdicts(self, tokens: Sequence[str], at: datetime = NOW) -> list[Claims | Refusal]:
        # What cannot even be sent to Postgres is no token there.
        sent = ["" if "\0" in token or not _is_utf8(token) else token for token in tokens]
        found = self.connection.execute(
            "SELECT * FROM pg_temp.verdicts(%s, %s)", (sent, at)
        ).fetchall()
        return [_verdict(*row) for row in found]

    def remember(self, token: str) -> None:
        """As a change does: from then on the signature is not computed again."""
        self.connection.execute(
            "SELECT flagctl.remember_token(flagctl.verify_token(%s, 'default', %s), 1)",
            (token, NOW),
        )


@contextmanager
def judge(installation: Installation, maker: Maker) -> Iterator[Judge]:
    installation.govern(
        "INSERT INTO flagctl.issuers (organization_id, issuer, audience, max_lifetime_seconds)"
        f" VALUES (1, '{ISSUER}', '{AUDIENCE}', {int(MAX_LIFETIME.total_seconds())})"
        " ON CONFLICT DO NOTHING",
        "DELETE FROM flagctl.issuer_keys USING flagctl.issuers i"
        f" WHERE issuer_id = i.id AND i.issuer = '{ISSUER}'",
        "INSERT INTO flagctl.issuer_keys (issuer_id, key_id, modulus)"
        f" SELECT id, '{KEY_ID}', '\\x{maker.modulus.hex()}'"
        f" FROM flagctl.issuers WHERE issuer = '{ISSUER}'",
    )
    with installation.connect() as connection:
        connection.execute(_VERDICTS)
        yield Judge(connection)


def agree(found: Claims | Refusal, said: Claims | str) -> bool:
    """The same claims, or both refuse, and Postgres in the one way that is meant."""
    if isinstance(found, Refusal):
        return isinstance(said, str) and found.state == _REFUSED
    return found == said


def _verdict(
    claims: dict[str, Any] | None, issued: str, expires: str, state: str, message: str
) -> Claims | Refusal:
    if claims is None:
        return Refusal(state, message)
    return Claims(
        claims["iss"], claims["sub"], _datetime(issued), _datetime(expires), claims.get("jti")
    )


def _datetime(microseconds: str) -> datetime:
    return _EPOCH + timedelta(microseconds=int(microseconds))


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
