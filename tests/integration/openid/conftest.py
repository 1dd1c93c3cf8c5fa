"""How these tests ask an issuer: as people do."""

import pytest

from core.services.openid.transport import Transport


@pytest.fixture
def transport() -> Transport:
    return Transport()
