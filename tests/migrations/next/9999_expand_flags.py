"""Expand flags: a release that is to come, as polite as every one has to be."""

from migrations.statements import execute
from tests.migrations.releases import THIS

revision = "9999"
down_revision = THIS


def upgrade() -> None:
    execute("""
-- With a default at once, Postgres 15 refuses: a function takes the row as a whole.
ALTER TABLE flagctl.flags ADD COLUMN note text;
ALTER TABLE flagctl.flags ALTER COLUMN note SET DEFAULT '';
ALTER TABLE flagctl.flags ALTER COLUMN note SET STATISTICS 0;
CREATE INDEX api_keys_name_idx ON flagctl.api_keys (name);
CREATE TABLE flagctl.notes (
    flag_id bigint NOT NULL CONSTRAINT notes_flag_fkey REFERENCES flagctl.flags (id),
    body text NOT NULL CONSTRAINT notes_body_length CHECK (char_length(body) < 2000)
);
-- A function's body is run later; nothing in it locks now.
CREATE FUNCTION flagctl.forget_notes() RETURNS void LANGUAGE sql
BEGIN ATOMIC
    DELETE FROM flagctl.notes;
END;
CREATE FUNCTION flagctl.forget() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM flagctl.configs;
END
$$;
UPDATE flagctl.verified_tokens SET header = '{"typ": "; DROP TABLE flagctl.tokens"}' WHERE false;
""")


def downgrade() -> None:
    execute("""
DROP FUNCTION flagctl.forget(), flagctl.forget_notes();
DROP TABLE flagctl.notes;
DROP INDEX flagctl.api_keys_name_idx;
ALTER TABLE flagctl.flags DROP COLUMN note;
""")
