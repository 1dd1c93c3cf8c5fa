"""What `-o json` prints, as scripts have come to know it: tests/golden holds it word for word.

A field that is new may be written there with FLAGCTL_TEST_GOLDEN=write. One that goes, or means
something else, breaks somebody's pipeline.
"""

import os
import re
from pathlib import Path

import pytest

from core.auth.api_keys import KeyKind
from tests.support.command_lines import CommandLine
from tests.support.usage import add

FOLDER = Path(__file__).parents[2] / "golden"
_MASKS = (
    (r'"version": "[0-9a-f]{12}"', '"version": "VERSION"'),  # of the salt, too
    (r'"\d{4}-\d\d-\d\d"', '"DAY"'),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID"),
    (r'("(?:entity_key|id)": )"[0-9a-f]{8}"', r'\1"KEY_ID"'),
    (r'("id": )"[0-9a-f]{16}"', r'\1"PUBLIC_ID"'),
    (r'("(?:rule|id)": )"[0-9a-f]{6}"', r'\1"RULE_ID"'),
    (r'("salt": )"[0-9a-f]+"', r'\1"SALT"'),
    (r"flagctl/\d+\.\d+\.\d+\w*", "flagctl/RELEASE"),
    (r'("key": )"fc[^"]{20,}"', r'\1"API_KEY"'),
)
_PROD = ("--env", "prod")
_IF = 'segment("beta")'
_PREPARATION = (
    ("create", "new_checkout", "--description", "New checkout flow", "--tag", "shop"),
    ("config", "define", "checkout_timeout", "--type", "integer"),
    ("config", "set", "checkout_timeout", "30", "--env", "prod"),
)
# In this order, each a line of its own that a script could have.
_COMMANDS = {
    "set": ("set", "new_checkout", "--env", "prod", "--reason", "launch"),
    "set-again": ("set", "new_checkout", "--env", "prod"),
    "set-dry-run": ("set", "new_checkout", "off", "--env", "prod", "--dry-run"),
    "set-default": ("set", "new_checkout", "on", "--default"),
    "stale": ("stale", "--unchanged-for", "0s"),
    "show": ("show", "new_checkout"),
    "list": ("list",),
    "config-get": ("config", "get", "checkout_timeout", "--env", "prod"),
    "key-create": ("key", "create", "web", "--env", "prod"),
    "audit-list": ("audit", "list", "--limit", "3"),
    "audit-show": ("audit", "show", "8"),
    "eval": ("eval", "new_checkout", *_PROD, "-k", "u1", "-c", "country=DE"),
    "explain": ("explain", "new_checkout", *_PROD, "-k", "u1", "-c", "country=DE"),
    "segment-create": ("segment", "create", "beta", "--if", 'country in ["DE", "FR"]'),
    "segment-list": ("segment", "list"),
    "segment-show": ("segment", "show", "beta"),
    "rule-add": ("rule", "add", "new_checkout", *_PROD, "--if", _IF, "--serve", "off"),
    "rule-list": ("rule", "list", "new_checkout", *_PROD),
    "explain-rule": ("explain", "new_checkout", *_PROD, "-k", "u1", "-c", "country=DE"),
    "config-set": ("config", "set", "checkout_timeout", "40", *_PROD),
    "config-list": ("config", "list"),
    "config-show": ("config", "show", "checkout_timeout"),
    "env-list": ("env", "list"),
    "env-show": ("env", "show", "prod"),
    "key-list": ("key", "list", *_PROD),
    "key-revoke": ("key", "revoke", "web", *_PROD),
    "member-add": ("member", "add", "ann@example.com", "--role", "editor", *_PROD),
    "member-list": ("member", "list"),
    "whoami": ("whoami",),
    "can-i": ("can-i", "set", *_PROD),
    "who-can": ("who-can", "set", *_PROD),
    "org-show": ("org", "show"),
    "update": ("update", "new_checkout", "--owner", "shop"),
    "usage": ("usage", *_PROD),
    "usage-key": ("usage", "new_checkout", *_PROD),
    "archive": ("archive", "new_checkout"),
}
_ERRORS = {
    "error-usage": (2, ("set",)),
    "error-invalid-input": (2, ("create", "No Key")),
    "error-confirmation-needed": (2, ("delete", "new_checkout")),
    "error-unauthenticated": (3, ("list",)),
    "error-forbidden": (4, ("set", "new_checkout", "--env", "prod")),
    "error-not-found": (5, ("set", "new_chekout", "--env", "prod")),
    "error-conflict": (6, ("create", "new_checkout")),
    "error-conflict-revision": (6, ("set", "new_checkout", "--env", "prod", "--if-revision", "1")),
    "error-unavailable": (7, ("list",)),
    "error-check-failed": (8, ("eval", "new_checkout", "--env", "prod", "--test", "true")),
}
_SETTINGS = {
    "error-unauthenticated": {"FLAGCTL_TOKEN": ""},
    "error-unavailable": {"FLAGCTL_DATABASE_URL": "postgresql://u:hunter2@127.0.0.1:1/flagctl"},
}


def masked(text: str) -> str:
    for pattern, mask in _MASKS:
        text = re.sub(pattern, mask, text)
    return text


def compare(name: str, text: str) -> None:
    path = FOLDER / f"{name}.json"
    if os.environ.get("FLAGCTL_TEST_GOLDEN") == "write":
        path.write_text(masked(text), encoding="utf-8")
    assert masked(text) == path.read_text(encoding="utf-8"), name


def prepared(cli: CommandLine) -> CommandLine:
    for words in _PREPARATION:
        cli.ok(*words)
    add(cli.installation, {("new_checkout", "on"): 3, KeyKind.SERVER: 5})
    return cli


def test_documents(cli: CommandLine) -> None:
    prepared(cli)
    for name, words in _COMMANDS.items():
        ran = cli.run(*words, "-o", "json")
        assert ran.code == 0, ran
        compare(name, ran.stdout)


def test_errors(cli: CommandLine) -> None:
    prepared(cli)
    viewer = cli.as_(cli.installation.token_for("viewer", email="vic@example.com"))
    for name, (code, words) in _ERRORS.items():
        who = viewer if name == "error-forbidden" else cli
        ran = who.run(*words, "-o", "json", **_SETTINGS.get(name, {}))
        assert ran.code == code, ran
        # `eval --test` prints what it found before it fails.
        assert (ran.stdout == "") is (name != "error-check-failed")
        compare(name, ran.stderr)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_no_file_is_left_over(path: Path) -> None:
    assert path.stem in _COMMANDS | _ERRORS
