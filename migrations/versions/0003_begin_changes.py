"""Who acts: begin_change verifies a token, finds the member and seals both into the transaction."""

from migrations.acting import bearers, changes, permissions
from migrations.statements import execute

revision = "0003"
down_revision = "0002"

DROP = """
DROP FUNCTION flagctl.organization_throughout(text), flagctl.organization_somewhere(text),
    flagctl.organization_where(text),
    flagctl.environments_where(text), flagctl.environments_of(bigint),
    flagctl.current_organization(), flagctl.check_still_allowed(jsonb), flagctl.current_change(),
    flagctl.begin_owner_change(text, text, text), flagctl.begin_change(text, text, text, text),
    flagctl.remembered_actor(text, text),
    flagctl.remembered_bearer(flagctl.verified_tokens, text), flagctl.remember_token(jsonb, bigint),
    flagctl.open_change(jsonb, text, text),
    flagctl.seal(bytea, bytea, text), flagctl.actor_of(jsonb, text), flagctl.memberships(jsonb),
    flagctl.registration(jsonb), flagctl.token_id(text), flagctl.role_allows(text, text);
"""


def upgrade() -> None:
    for part in (bearers, changes, permissions):
        execute(part.FUNCTIONS)


def downgrade() -> None:
    execute(DROP)
