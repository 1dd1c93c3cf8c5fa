"""What several of these tests read settings from."""

from pathlib import Path

import pytest

from tests.support.homes import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)
