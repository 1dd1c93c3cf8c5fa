import pytest

from core.services.policy_text import normal

HERE = "organization_id = (SELECT flagctl.current_organization())"
PRINTED = "(organization_id = ( SELECT flagctl.current_organization() AS current_organization))"


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        (HERE, PRINTED),
        (None, None),
        ("true", "true"),
        (f"built_in OR {HERE}", f"(built_in OR {PRINTED})"),
        (f"a AND (built_in OR {HERE})", f"((a) AND (built_in OR {PRINTED}))"),
        ("a AND (b AND c)", "(a AND b AND c)"),
        ("(a AND b) OR c", "((a AND b) OR c)"),
        ("a = ANY ((SELECT f('edit'))::bigint[])", "(a = ANY (( SELECT f('edit'::text) AS f)))"),
    ],
)
def test_how_postgres_prints_what_was_written(written: str | None, printed: str | None) -> None:
    assert normal(written) == normal(printed)


@pytest.mark.parametrize(
    ("written", "changed"),
    [
        ("a AND (b OR c)", "(a AND b) OR c"),
        ("a AND (b OR c)", "a AND b OR c"),
        ("a = (SELECT f('edit'))", "a = (SELECT f('read'))"),
        ("a = f('Edit')", "a = f('edit')"),
        ("a AND b", "a OR b"),
        ("a", "true"),
        ("a", None),
        ("NOT (a OR b)", "NOT a OR b"),
        ("(a OR b) AND (c OR d)", "a OR (b AND c) OR d"),
    ],
)
def test_another_condition_is_another(written: str, changed: str | None) -> None:
    assert normal(written) != normal(changed)
