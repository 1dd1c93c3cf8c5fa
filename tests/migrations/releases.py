"""Two releases: this one, and one that is to come, with the migration of tests/migrations/next."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core import schema_version
from core.services import schema

NEXT_FOLDER = Path(__file__).parent / "next"
THIS = schema_version.NEWEST
NEXT = "9999"


@contextmanager
def next_release() -> Iterator[None]:
    """Inside, this process is the next release; read servers are still of this one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema, "_VERSIONS", (*schema._VERSIONS, NEXT_FOLDER))
        patch.setattr(schema_version, "NEWEST", NEXT)
        yield
