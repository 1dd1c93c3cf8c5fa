"""Which settings of Postgres's log would print a token."""

import pytest

from flagctl.doctor.logs import judge

DEFAULTS = {
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_min_duration_sample": "-1",
    "log_transaction_sample_rate": "0",
    "log_parameter_max_length": "-1",
    "log_parameter_max_length_on_error": "0",
}


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"log_statement": "mod"},
        {"log_statement": "all", "log_parameter_max_length": "0"},
        {"log_min_duration_statement": "0", "log_parameter_max_length": "0"},
        {"auto_explain.log_min_duration": "-1", "auto_explain.log_parameter_max_length": "-1"},
        {"auto_explain.log_min_duration": "0", "auto_explain.log_parameter_max_length": "0"},
        {"pgaudit.log": "all", "pgaudit.log_parameter": "off"},
        {"pgaudit.log": "none", "pgaudit.log_parameter": "on"},
    ],
)
def test_what_prints_no_token(changed: dict[str, str]) -> None:
    assert [check.verdict for check in judge(DEFAULTS | changed)] == ["ok"]


@pytest.mark.parametrize(
    ("changed", "setting"),
    [
        ({"log_statement": "all"}, "log_parameter_max_length"),
        ({"log_min_duration_statement": "0"}, "log_parameter_max_length"),
        ({"log_min_duration_sample": "100"}, "log_parameter_max_length"),
        ({"log_transaction_sample_rate": "0.1"}, "log_parameter_max_length"),
        ({"log_statement": "all", "log_parameter_max_length": "64"}, "log_parameter_max_length"),
        ({"log_parameter_max_length_on_error": "-1"}, "log_parameter_max_length_on_error"),
        ({"auto_explain.log_min_duration": "0"}, "auto_explain.log_parameter_max_length"),
    ],
)
def test_what_prints_tokens(changed: dict[str, str], setting: str) -> None:
    (check,) = judge(DEFAULTS | changed)
    assert check.verdict == "wrong"
    assert check.mend == f"ALTER SYSTEM SET {setting} = 0; SELECT pg_reload_conf()"


def test_an_extension_that_audits() -> None:
    (check,) = judge(DEFAULTS | {"pgaudit.log": "write", "pgaudit.log_parameter": "on"}, "logs")
    assert check.mend == "ALTER SYSTEM SET pgaudit.log_parameter = off; SELECT pg_reload_conf()"


def test_each_is_a_finding_of_its_own() -> None:
    both = {"log_statement": "all", "log_parameter_max_length_on_error": "-1"}
    assert [check.verdict for check in judge(DEFAULTS | both)] == ["wrong", "wrong"]
