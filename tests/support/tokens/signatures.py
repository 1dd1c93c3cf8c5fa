"""Signatures that are wrong, also those that only a verifier that reads closely tells from good."""

import hashlib

from tests.support.tokens.case import Build, Case, Table, accepted, refused
from tests.support.tokens.maker import ALPHABET, Maker, b64, unb64, uncanonical

WRONG = "signature is wrong"
# DER of DigestInfo up to the digest, by hash (RFC 8017, 9.2, note 1).
_PREFIXES = {
    "sha1": bytes.fromhex("3021300906052b0e03021a05000414"),
    "sha224": bytes.fromhex("302d300d06096086480165030402040500041c"),
    "sha256": bytes.fromhex("3031300d060960864801650304020105000420"),
    "sha384": bytes.fromhex("3041300d060960864801650304020205000430"),
    "sha512": bytes.fromhex("3051300d060960864801650304020305000440"),
    "md5": bytes.fromhex("3020300c06082a864886f70d020505000410"),
}
_NO_NULL = bytes.fromhex("302f300b0609608648016503040201") + bytes.fromhex("0420")
_EMPTY_OCTETS = bytes.fromhex("3031300d060960864801650304020104000420")  # instead of the NULL
_LONG_LENGTH = bytes.fromhex("308131300d060960864801650304020105000420")  # BER, not DER
_INDEFINITE = bytes.fromhex("3080300d060960864801650304020105000420")


def _digest(maker: Maker, name: str = "sha256") -> bytes:
    head, body, _ = maker.parts
    return hashlib.new(name, f"{head}.{body}".encode(), usedforsecurity=False).digest()


def _info(maker: Maker) -> bytes:
    return _PREFIXES["sha256"] + _digest(maker)


def _block(
    maker: Maker, info: bytes, *, start: bytes = b"\0\1", fill: bytes = b"\xff", end: bytes = b"\0"
) -> bytes:
    return start + fill * (maker.size - len(start) - len(end) - len(info)) + end + info


def _with_info(info: bytes) -> Case:
    """The right digest in another DigestInfo."""
    return refused(lambda m: m.raised(_block(m, info + _digest(m))), WRONG)


def _with_hash(name: str) -> Case:
    """The digest of another hash, in its own DigestInfo."""
    return refused(lambda m: m.raised(_block(m, _PREFIXES[name] + _digest(m, name))), WRONG)


def _garbage_behind(maker: Maker, padding: int) -> bytes:
    """What a verifier accepts that looks for the digest and not at the end (CVE-2006-4339)."""
    start = b"\0\1" + b"\xff" * padding + b"\0" + _info(maker)
    return start + b"\xa5" * (maker.size - len(start))


def _garbage_between(maker: Maker) -> bytes:
    start = b"\0\1" + b"\xff" * 8 + b"\0"
    return start + b"\xa5" * (maker.size - len(start) - len(_info(maker))) + _info(maker)


def _flipped(maker: Maker, place: int) -> str:
    block = bytearray(_block(maker, _info(maker)))
    block[place] ^= 1
    return maker.raised(bytes(block))


def _signature(maker: Maker) -> bytes:
    return unb64(maker.parts[2])


def _number(maker: Maker) -> int:
    return int.from_bytes(_signature(maker))


def _cube_root(maker: Maker) -> str:
    """As forged for the exponent 3: no power at all is needed for it."""
    block = int.from_bytes(_garbage_behind(maker, 8))
    low, high = 0, 1 << (maker.size * 8 // 3 + 1)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if middle**3 < block else (low, middle)
    return maker.with_number(low)


def _without_leading_zero(maker: Maker) -> str:
    """One signature in 256 starts with a zero byte; here it is taken away."""
    for salt in range(20_000):
        message, _, signature = maker.with_claims(salt=salt).rpartition(".")
        if (whole := unb64(signature))[0] == 0:
            return f"{message}.{b64(whole[1:])}"
    raise AssertionError


def _with_stray_bits(maker: Maker) -> str:
    """Of a length at which there are any; 3,072 bits are 512 whole characters."""
    signature = _signature(maker)
    return maker.with_part(2, uncanonical(b64(signature[: len(signature) // 3 * 3 - 2])))


def _last(step: int) -> Build:
    """Every other last character: stray bits in some lengths, another signature in others."""
    return lambda m: m.good[:-1] + ALPHABET[(ALPHABET.index(m.good[-1]) + step) % 64]


FORGED: Table = {
    "signed by another key": refused(lambda m: m.signed(foreign=True), WRONG),
    "its own key in the header": refused(
        lambda m: m.signed(
            None,
            {**m.header, "jwk": {"kty": "RSA"}, "jku": "https://x", "x5u": "https://x", "x5c": []},
            foreign=True,
        ),
        WRONG,
    ),
    "zeros as signature": refused(lambda m: m.with_signature(bytes(m.size)), WRONG),
    "one as signature": refused(lambda m: m.with_number(1), WRONG),
    "n as signature": refused(lambda m: m.with_number(m.n), WRONG),
    "n + 1 as signature": refused(lambda m: m.with_number(m.n + 1), WRONG),
    "n - 1 as signature": refused(lambda m: m.with_number(m.n - 1), WRONG),
    "n - s as signature": refused(lambda m: m.with_number(m.n - _number(m)), WRONG),
    "s + n as signature": refused(lambda m: m.with_number(_number(m) + m.n), WRONG),
    "all ones as signature": refused(lambda m: m.with_signature(b"\xff" * m.size), WRONG),
    "the digest as signature": refused(lambda m: m.with_signature(_digest(m)), WRONG),
    "the padded block as signature": refused(
        lambda m: m.with_signature(_block(m, _info(m))), WRONG
    ),
    "short signature": refused(lambda m: m.with_signature(b"x"), WRONG),
    "one byte less": refused(lambda m: m.with_signature(_signature(m)[:-1]), WRONG),
    "first byte less": refused(lambda m: m.with_signature(_signature(m)[1:]), WRONG),
    "one byte more": refused(lambda m: m.with_signature(_signature(m) + b"\0"), WRONG),
    "zero in front": refused(lambda m: m.with_signature(b"\0" + _signature(m)), WRONG),
    "backwards": refused(lambda m: m.with_signature(_signature(m)[::-1]), WRONG),
    "twice": refused(lambda m: m.with_signature(_signature(m) * 2), WRONG),
    "without its leading zero": refused(_without_leading_zero, WRONG),
    "signature of another token": refused(
        lambda m: m.with_part(2, m.with_claims(sub="b").split(".")[2]), WRONG
    ),
    "claims of another token": refused(
        lambda m: m.with_part(1, m.with_claims(sub="b").split(".")[1]), WRONG
    ),
    "RS512 called RS256": refused(lambda m: m.signed(algorithm="RS512"), WRONG),
    "PS256 called RS256": refused(lambda m: m.signed(algorithm="PS256"), WRONG),
    "the cube root of a block": refused(_cube_root, WRONG),
    "raised by hand as it should be": accepted(lambda m: m.raised(_block(m, _info(m)))),
    **{f"DigestInfo of {name}": _with_hash(name) for name in _PREFIXES if name != "sha256"},
    **{
        f"SHA-256 called {name}": _with_info(prefix)
        for name, prefix in _PREFIXES.items()
        if name != "sha256"
    },
    "no NULL in DigestInfo": _with_info(_NO_NULL),
    "an empty text in DigestInfo": _with_info(_EMPTY_OCTETS),
    "long length in DigestInfo": _with_info(_LONG_LENGTH),
    "indefinite length in DigestInfo": _with_info(_INDEFINITE),
    "the digest without DigestInfo": _with_info(b""),
    "garbage behind the digest": refused(lambda m: m.raised(_garbage_behind(m, 8)), WRONG),
    "garbage behind, no padding": refused(lambda m: m.raised(_garbage_behind(m, 0)), WRONG),
    "a zero byte behind the digest": refused(
        lambda m: m.raised(_block(m, _info(m) + b"\0")), WRONG
    ),
    "garbage in front of the digest": refused(lambda m: m.raised(_garbage_between(m)), WRONG),
    "two zero bytes in front": refused(lambda m: m.raised(_block(m, _info(m), end=b"\0\0")), WRONG),
    "no zero byte in front": refused(lambda m: m.raised(_block(m, _info(m), end=b"")), WRONG),
    "block type 0": refused(
        lambda m: m.raised(_block(m, _info(m), start=b"\0\0", fill=b"\0")), WRONG
    ),
    "block type 2": refused(
        lambda m: m.raised(_block(m, _info(m), start=b"\0\2", fill=b"\xaa")), WRONG
    ),
    "a first byte that is not zero": refused(
        lambda m: m.raised(_block(m, _info(m), start=b"\1\1")), WRONG
    ),
    "padding of other bytes": refused(lambda m: m.raised(_block(m, _info(m), fill=b"\xfe")), WRONG),
    "a bit in the padding": refused(lambda m: _flipped(m, 9), WRONG),
    "a bit in the last byte of padding": refused(
        lambda m: _flipped(m, m.size - len(_info(m)) - 2), WRONG
    ),
    "a bit in the digest": refused(lambda m: _flipped(m, m.size - 1), WRONG),
    "stray bits": refused(_with_stray_bits),
    "a lone character": refused(lambda m: m.good + "A" * ((1 - len(m.parts[2])) % 4)),
    "a character less": refused(lambda m: m.good[:-1]),
    **{f"last character {step} further": refused(_last(step)) for step in range(1, 64)},
}
