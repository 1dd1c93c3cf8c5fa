"""What is no compact JWT, or not the only way to write one."""

from tests.support.tokens.case import Table, accepted, refused
from tests.support.tokens.maker import Maker, b64, uncanonical

NO_JWT = "is not a JWT of three parts"
UNREADABLE = "the token cannot be read"


def _stray_bits_in_claims(maker: Maker) -> str:
    """Claims whose last character has bits to spare, and those set."""
    tokens = (maker.with_claims(x="y" * n) for n in range(3))
    head, body, signature = next(t for t in tokens if len(t.split(".")[1]) % 4).split(".")
    return f"{head}.{uncanonical(body)}.{signature}"


def _stray_bits_in_signed_claims(maker: Maker) -> str:
    """The same, and signed as it stands."""
    head, body, _ = _stray_bits_in_claims(maker).split(".")
    return maker.sealed(f"{head}.{body}")


FORMS: Table = {
    "good": accepted(lambda m: m.good),
    "empty": refused(lambda _: "", NO_JWT),
    "dots": refused(lambda _: "..", NO_JWT),
    "one part": refused(lambda m: m.parts[0], NO_JWT),
    "two parts": refused(lambda m: ".".join(m.parts[:2]), NO_JWT),
    "no signature": refused(lambda m: m.with_part(2, ""), NO_JWT),
    "no claims": refused(lambda m: m.with_part(1, ""), NO_JWT),
    "no header": refused(lambda m: m.with_part(0, ""), NO_JWT),
    "four parts": refused(lambda m: f"{m.good}.{m.parts[2]}", NO_JWT),
    "a dot behind": refused(lambda m: f"{m.good}.", NO_JWT),
    "a dot in front": refused(lambda m: f".{m.good}", NO_JWT),
    "five parts, as JWE": refused(lambda m: f"{m.good}.{m.parts[1]}.{m.parts[2]}", NO_JWT),
    "padded": refused(lambda m: f"{m.good}=", NO_JWT),
    "padded twice": refused(lambda m: f"{m.good}==", NO_JWT),
    "padded header": refused(lambda m: m.with_part(0, m.parts[0] + "="), NO_JWT),
    "padded claims": refused(lambda m: m.with_part(1, m.parts[1] + "="), NO_JWT),
    "space in front": refused(lambda m: f" {m.good}", NO_JWT),
    "space behind": refused(lambda m: f"{m.good} ", NO_JWT),
    "space inside": refused(lambda m: m.good.replace(".", ". ", 1), NO_JWT),
    "new line in front": refused(lambda m: f"\n{m.good}", NO_JWT),
    "new line behind": refused(lambda m: f"{m.good}\n", NO_JWT),
    "new line inside": refused(lambda m: m.with_part(1, f"{m.parts[1]}\n"), NO_JWT),
    "carriage return behind": refused(lambda m: f"{m.good}\r", NO_JWT),
    "tab behind": refused(lambda m: f"{m.good}\t", NO_JWT),
    "line separator behind": refused(lambda m: f"{m.good}\u2028", NO_JWT),
    "byte order mark in front": refused(lambda m: f"\ufeff{m.good}", NO_JWT),
    "Bearer": refused(lambda m: f"Bearer {m.good}", NO_JWT),
    "full-width": refused(lambda m: m.good.replace("A", "Ａ", 1), NO_JWT),
    "standard base64 plus": refused(lambda m: m.good[:-1] + "+", NO_JWT),
    "standard base64 slash": refused(lambda m: m.good[:-1] + "/", NO_JWT),
    "percent": refused(lambda m: m.good.replace(".", "%2E", 1), NO_JWT),
    "very long": refused(lambda m: m.good + "A" * 20_000, NO_JWT),
    "stray bits in the claims": refused(_stray_bits_in_claims, "not canonical"),
    "stray bits in the claims, signed": refused(_stray_bits_in_signed_claims, "not canonical"),
    "header of 1 character": refused(lambda m: m.sealed(f"A.{m.parts[1]}"), UNREADABLE),
    "claims of 1 character": refused(lambda m: m.sealed(f"{m.parts[0]}.A"), UNREADABLE),
    "not UTF-8": refused(lambda m: m.with_part(1, b64(b"\xff\xfe")), UNREADABLE),
    "claims are a list": refused(lambda m: m.signed("[1]"), UNREADABLE),
    "claims are null": refused(lambda m: m.signed("null"), UNREADABLE),
    "claims are a text": refused(lambda m: m.signed('"sub"'), UNREADABLE),
    "claims are a number": refused(lambda m: m.signed("1"), UNREADABLE),
    "claims are no JSON": refused(lambda m: m.signed("{"), UNREADABLE),
    "claims are blank": refused(lambda m: m.signed(" "), UNREADABLE),
    "claims are empty": refused(lambda m: m.signed("{}"), "does not say who signed it"),
    "header is a text": refused(lambda m: m.signed(None, '"RS256"'), UNREADABLE),
    "header is a list": refused(lambda m: m.signed(None, '["RS256"]'), UNREADABLE),
    "header is empty": refused(lambda m: m.signed(None, "{}"), "flagctl takes RS256 only"),
}
