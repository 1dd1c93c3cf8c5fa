"""An issuer for every test, trusted the way an operator trusts a CA of the company's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.services.openid.transport import Transport
from tests.support.openid_issuers import OpenIdIssuer, openid_issuer


@pytest.fixture
def issuer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenIdIssuer]:
    with openid_issuer(tmp_path) as running:
        monkeypatch.setenv("SSL_CERT_FILE", str(running.authority))
        yield running


@pytest.fixture
def transport() -> Transport:
    return Transport()
