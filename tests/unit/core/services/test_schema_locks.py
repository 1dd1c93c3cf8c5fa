"""Scripts taken apart, and the locks of each kind of statement."""

import pytest

from core.services.schema_locks import blocks, locks, statements, strongest_by_table


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("ALTER TABLE flagctl.flags ADD COLUMN a int", {"flags": "ACCESS EXCLUSIVE"}),
        ("ALTER TABLE ONLY flags VALIDATE CONSTRAINT c", {"flags": "SHARE UPDATE EXCLUSIVE"}),
        (
            "ALTER TABLE flags ALTER COLUMN a SET STATISTICS 0, ALTER b SET STATISTICS 0",
            {"flags": "SHARE UPDATE EXCLUSIVE"},
        ),
        (
            "ALTER TABLE flags ALTER COLUMN a SET STATISTICS 0, ADD CHECK (f(a, b))",
            {"flags": "ACCESS EXCLUSIVE"},
        ),
        (
            "ALTER TABLE f ADD CONSTRAINT c FOREIGN KEY (a, b) REFERENCES flagctl.g (a, b)",
            {"f": "SHARE ROW EXCLUSIVE", "g": "SHARE ROW EXCLUSIVE"},
        ),
        ('CREATE TABLE a (b int REFERENCES "flagctl"."c")', {"c": "SHARE ROW EXCLUSIVE"}),
        ("CREATE UNIQUE INDEX i ON flagctl.f (a)", {"f": "SHARE"}),
        ("create index concurrently i on f (a)", {"f": "SHARE UPDATE EXCLUSIVE"}),
        ("CREATE CONSTRAINT TRIGGER t AFTER INSERT ON f EXECUTE x()", {"f": "SHARE ROW EXCLUSIVE"}),
        ("DROP POLICY p ON f", {"f": "ACCESS EXCLUSIVE"}),
        ("DROP TABLE a, flagctl.b CASCADE", {"a": "ACCESS EXCLUSIVE", "b": "ACCESS EXCLUSIVE"}),
        ("LOCK TABLE f IN SHARE MODE", {"f": "SHARE"}),
        (
            "UPDATE f SET a = 'DROP TABLE b'; DELETE FROM c",
            {"c": "ROW EXCLUSIVE", "f": "ROW EXCLUSIVE"},
        ),
        ("CREATE INDEX i ON f (a); DROP TABLE f", {"f": "ACCESS EXCLUSIVE"}),
        ("GRANT SELECT ON f TO x; CREATE FUNCTION g() RETURNS int RETURN 1", {}),
    ],
)
def test_locks(script: str, expected: dict[str, str]) -> None:
    assert strongest_by_table(statements(script)) == expected


def test_statements_keep_their_text() -> None:
    script = """
-- first; of two
CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $x$ BEGIN DELETE FROM a; END $x$;
/* ; */ CREATE FUNCTION g() RETURNS void
BEGIN ATOMIC DELETE FROM a; DELETE FROM b; END;
INSERT INTO a VALUES ('it''s; -- no comment');
"""
    found = statements(script)
    assert [statement.text.split("(")[0] for statement in found] == [
        "CREATE FUNCTION f",
        "CREATE FUNCTION g",
        "INSERT INTO a VALUES ",
    ]
    assert found[2].text == "INSERT INTO a VALUES ('it''s; -- no comment')"
    assert [list(locks(statement)) for statement in found] == [[], [], [("a", "ROW EXCLUSIVE")]]


@pytest.mark.parametrize("text", ["DO $$ BEGIN END $$", "DROP INDEX a", "WITH x AS (SELECT 1) …"])
def test_what_cannot_be_foretold(text: str) -> None:
    assert statements(text)[0].is_obscure


@pytest.mark.parametrize(
    ("mode", "blocked"),
    [
        ("ACCESS EXCLUSIVE", "reads and writes"),
        ("SHARE ROW EXCLUSIVE", "writes"),
        ("SHARE", "writes"),
        ("SHARE UPDATE EXCLUSIVE", "nothing"),
        ("ROW EXCLUSIVE", "nothing"),
    ],
)
def test_whom_a_lock_blocks(mode: str, blocked: str) -> None:
    assert blocks(mode) == blocked
