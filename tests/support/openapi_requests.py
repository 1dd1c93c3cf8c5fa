"""Requests made from an OpenAPI document, right ones and wrong ones, thousands in a second.

Number and seed give the same request for ever, so that one which fails can be sent again.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import quote

METHODS = ("GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE")
_TEXTS = (
    *("", " ", "0", "-1", "1.5", "true", "null", "1001", "9" * 40, "1e999", "2026-01-01"),
    *("2026-13-45T99:99:99Z", "prod", "PROD", "pr od", "..", "../../admin", "%", "%00", "a,b", "*"),
    *("\x00", "\x7f\x1b[2J", "\r\nX: y", "é", "\u202e", "𝕏", "\ufffe", "\ud800", "a" * 3000),
    *("' OR 1=1 --", "${x}", "__proto__", "targetingKey", '"', "\\", "{}", "[]"),
)
_NUMBERS = (0, -0.0, 1, -1, 2**53 + 1, 2**63, -(2**80), 1e308, 5e-324, 0.1)
_PIECES = ("%FF", "%", "%zz", "&&", "=", "a", "a=b=c", ";x=1", "+", "environment", "limit[]=1")
_HEADERS = (
    ("Accept-Encoding", ("gzip", "gzip;q=0, *;q=0.1", "br", ";;", "identity;q=0")),
    ("If-None-Match", ("*", '"x"', 'W/"a", "b"', '"', "\xe9", "," * 500)),
    ("Origin", ("https://app.example.com", "null", "https://evil.example.com", "x" * 500)),
    ("X-Forwarded-For", ("::1, unknown", "1.2.3.4", "999.1.1.1", "," * 100, "[::1]:80")),
    ("Access-Control-Request-Method", ("GET", "POST", "PATCH", "\xe9")),
    ("Accept", ("text/html", "*/*;q=x", "")),
    ("Range", ("bytes=0-1", "x")),
    ("Cookie", ("a=b", "=")),
)
_CONTENT_TYPES = (
    *("application/json; charset=utf-8", "application/json;charset=latin-1", "application/jsonx"),
    *("text/plain", "", "APPLICATION/JSON", "application/problem+json", "\xe9"),
)
_NOT_JSON = (
    *(b"", b" ", b"{", b"nul", b"NaN", b'{"context": Infinity}', b"[" * 2000, b'{"a":' * 2000),
    *(b'{"context": {}, "context": 1}', b"\xff\xfe", b"\xef\xbb\xbf{}", b'"\\ud800"', b"{}x"),
    *(b'{"context": {"a": 1e999}}', b'{"context": {"a": ' + b"9" * 5000 + b"}}", b"\x00"),
)


@dataclass(frozen=True)
class Request:
    """`path` has the query; `operation` is None where the document has no such method."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | None
    operation: Mapping[str, Any] | None


class Requests:
    """`known` has values that exist, by the name of a parameter."""

    def __init__(
        self,
        document: Mapping[str, Any],
        known: Mapping[str, Sequence[str]],
        credentials: Mapping[str, Sequence[str]],
        *,
        seed: int,
    ) -> None:
        """`credentials` are lines of Authorization, by the beginning of the path."""
        self._paths = [(path, document["paths"][path]) for path in document["paths"]]
        self._schemas = document["components"]["schemas"]
        self._known = known
        self._credentials = credentials
        self._seed = seed

    def number(self, number: int) -> Request:
        random = Random(f"{self._seed}/{number}")
        template, operations = random.choice(self._paths)
        method = random.choice([m.upper() for m in operations])
        described = operations[method.lower()]
        if random.random() < 0.1:
            method = random.choice(METHODS)
        headers = self._headers(random, template)
        body = None
        if "requestBody" in described:
            body = self._body(random, described["requestBody"]["content"]["application/json"])
            odd = random.random() < 0.1
            headers["Content-Type"] = random.choice(_CONTENT_TYPES) if odd else "application/json"
        path = self._path(random, template, described.get("parameters", []))
        return Request(method, path, tuple(headers.items()), body, operations.get(method.lower()))

    def _headers(self, random: Random, template: str) -> dict[str, str]:
        found = {n: random.choice(values) for n, values in _HEADERS if random.random() < 0.15}
        good = next(
            lines for start, lines in self._credentials.items() if template.startswith(start)
        )
        match random.randrange(10):
            case 0:
                wrong = ("Basic x", "Bearer", "fcs_" + "0" * 60, "\xe9", "x" * 3000, "a.b.c", "")
                found["Authorization"] = random.choice(wrong)
            case 1:
                pass
            case 2:
                found["X-API-Key"] = random.choice(good).removeprefix("Bearer ")
            case _:
                found["Authorization"] = random.choice(good)
        return found

    def _path(self, random: Random, template: str, parameters: Sequence[Mapping[str, Any]]) -> str:
        pairs = []
        for parameter in parameters:
            if parameter["in"] == "path":
                value = self._value(random, parameter)
                template = template.replace(f"{{{parameter['name']}}}", _quoted(value))
            elif random.random() < 0.4:
                pairs.append(f"{parameter['name']}={_quoted(self._value(random, parameter))}")
        if random.random() < 0.1:
            pairs.append(random.choice(_PIECES))
        if pairs and random.random() < 0.05:
            pairs.append(random.choice(pairs))
        return template + ("?" + "&".join(pairs) if pairs else "")

    def _value(self, random: Random, parameter: Mapping[str, Any]) -> str:
        """One that exists, one that the schema allows, or anything."""
        schema, known = parameter["schema"], self._known.get(parameter["name"], ())
        if known and random.random() < 0.7:
            return random.choice(known)
        if random.random() < 0.5:
            if "enum" in schema:
                return str(random.choice(schema["enum"]))
            if schema["type"] == "integer":
                return str(random.randint(schema.get("minimum", 0), schema.get("maximum", 9)))
        return _text(random)

    def _body(self, random: Random, content: Mapping[str, Any]) -> bytes:
        """What the schema allows; something else; or that with its bytes spoiled."""
        choice = random.random()
        if choice < 0.1:
            return random.choice(_NOT_JSON)
        value = _json(random, 3) if choice < 0.25 else self._instance(random, content["schema"])
        made = json.dumps(value, ensure_ascii=True).encode()
        if choice > 0.9:
            at = random.randrange(len(made))
            made = made[:at] + random.choice((b"", b"\x00", b'"', b"\xc3")) + made[at + 1 :]
        return made

    def _instance(self, random: Random, schema: Mapping[str, Any]) -> Any:
        """The objects of this document; what is not said more exactly is anything."""
        if "$ref" in schema:
            schema = self._schemas[schema["$ref"].rpartition("/")[2]]
        if schema.get("type") != "object":
            return _json(random, 2)
        found = {
            name: self._instance(random, inner)
            for name, inner in schema.get("properties", {}).items()
            if random.random() < 0.9
        }
        if schema.get("additionalProperties"):
            found |= {
                name: _json(random, 2) for name in self._known["attribute"] if random.random() < 0.5
            }
            found |= {_text(random): _json(random, 2) for _ in range(random.randrange(3))}
        return found


def _text(random: Random) -> str:
    if random.random() < 0.6:
        return random.choice(_TEXTS)
    length = random.randrange(1, 12)
    return "".join(
        chr(random.choice((random.randrange(128), random.randrange(0x11000))))
        for _ in range(length)
    )


def _json(random: Random, depth: int) -> Any:
    match random.randrange(7 if depth else 5):
        case 0:
            return random.choice((None, True, False))
        case 1:
            return random.choice(_NUMBERS)
        case 2 | 3 | 4:
            return _text(random)
        case 5:
            return [_json(random, depth - 1) for _ in range(random.randrange(4))]
        case _:
            return {_text(random): _json(random, depth - 1) for _ in range(random.randrange(4))}


def _quoted(text: str) -> str:
    return quote(text.encode("utf-8", "surrogatepass"), safe="")
