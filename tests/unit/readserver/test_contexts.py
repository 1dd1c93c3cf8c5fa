"""Contexts out of bodies."""

import json

import pytest

from core.evaluation.context_json import UnreadableError
from readserver.contexts import parse


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le"])
@pytest.mark.parametrize("text", ['{"context":{"a":"é"}}', ' {"context":{"a":"é"}}\n'])
def test_encodings_are_those_of_json(encoding: str, text: str) -> None:
    assert parse(text.encode(encoding), 32) == json.loads(text)["context"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"context":', b"{}x", b'{"a":1,"a":2}', b"{\x00", b"[]"]
)
def test_what_is_no_object(body: bytes) -> None:
    with pytest.raises(UnreadableError):
        parse(body, 32)
