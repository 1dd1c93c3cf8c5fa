"""The whole table: name → case."""

from core.auth.tokens import MIN_KEY_BITS
from tests.support.tokens.case import Table
from tests.support.tokens.claims import CLAIMS
from tests.support.tokens.forms import FORMS
from tests.support.tokens.headers import HEADERS
from tests.support.tokens.json_texts import JSON_TEXTS
from tests.support.tokens.signatures import FORGED

CASES: Table = {
    f"{section}: {name}": case
    for section, table in (
        ("form", FORMS),
        ("header", HEADERS),
        ("claims", CLAIMS),
        ("json", JSON_TEXTS),
        ("signature", FORGED),
    )
    for name, case in table.items()
}

# What depends on the size of the key; the rest need not be asked again with another key.
SIGNED: Table = {n: case for n, case in CASES.items() if n.startswith(("form: ", "signature: "))}


def table_for(bits: int) -> Table:
    return CASES if bits == MIN_KEY_BITS else SIGNED
