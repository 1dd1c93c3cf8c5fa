import json
import logging
import sys

import pytest

from core.logs import JsonFormatter, configure


def record(message: str, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("readserver", logging.WARNING, "", 1, message, (), None)
    vars(made).update(extra)
    return made


def test_a_record_is_one_line_of_json() -> None:
    line = JsonFormatter().format(record("two\nlines é", environment="prod", revision=7))
    fields = json.loads(line)
    assert "\n" not in line
    assert fields.pop("time").endswith("+00:00")
    assert fields == {
        "level": "warning",
        "logger": "readserver",
        "message": "two\nlines é",
        "environment": "prod",
        "revision": 7,
    }


def test_of_an_error_only_its_type_is_logged() -> None:
    made = record("failed")
    try:
        raise ValueError("password=secret")
    except ValueError:
        made.exc_info = sys.exc_info()
    line = JsonFormatter().format(made)
    assert json.loads(line)["error"] == "ValueError"
    assert "secret" not in line


def test_configure_logs_to_stderr_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", logging.WARNING)
    configure("warning")
    logging.getLogger("x").warning("seen")
    logging.getLogger("x").info("not seen")
    out, err = capsys.readouterr()
    assert out == ""
    assert [json.loads(line)["message"] for line in err.splitlines()] == ["seen"]
