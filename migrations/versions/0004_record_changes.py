"""Record changes: audit events, revisions and NOTIFY, all by trigger."""

from migrations.recording import (
    at_once,
    documents,
    events,
    flags,
    gate,
    in_environments,
    served,
    states,
    triggers,
    trusted,
)
from migrations.statements import execute

revision = "0004"
down_revision = "0003"

# The functions that earlier migrations made stay.
DROP = """
DO $$
DECLARE
    found record;
BEGIN
    FOR found IN SELECT t.tgname, t.tgrelid::regclass AS relation FROM pg_trigger t
        JOIN pg_class c ON c.oid = t.tgrelid
        WHERE NOT t.tgisinternal AND c.relnamespace = 'flagctl'::regnamespace
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', found.tgname, found.relation);
    END LOOP;
    FOR found IN SELECT p.oid::regprocedure AS signature FROM pg_proc p
        WHERE p.pronamespace = 'flagctl'::regnamespace AND (p.prorettype = 'trigger'::regtype
            OR p.proname IN ('document', 'override_document', 'flag_event', 'check_rights',
                'enter', 'record_event', 'record_events', 'raise_revisions', 'record_denial',
                'outcome', 'outcome_of', 'state_of', 'set_state', 'set_flag',
                'set_at_once', 'environments_using'))
    LOOP
        EXECUTE format('DROP FUNCTION %s', found.signature);
    END LOOP;
END
$$;
DROP TYPE flagctl.recorded;
"""


def upgrade() -> None:
    for part in (documents, gate, events, flags, in_environments, served, trusted, states, at_once):
        execute(part.FUNCTIONS)
    execute(triggers.ENTRANCES)
    execute(triggers.TRIGGERS)


def downgrade() -> None:
    execute(DROP)
