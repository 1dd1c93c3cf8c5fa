"""What readserver/protocol.py, fast_lane.py and serving.py rely on in uvicorn, which promises none
of it.

When this fails: read what changed in uvicorn, follow it in those files, run
tests/integration/test_readserver_lanes.py and test_readserver_protocol.py, then put the new version
and digest here.
"""

import hashlib
import inspect
from importlib.metadata import version
from pathlib import Path

import uvicorn
from uvicorn.protocols.http import flow_control, httptools_impl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import Server, ServerState

VERSION = "0.54.0"
DIGESTS = {
    "HttpToolsProtocol": "18fdf324b11bf160",
    "RequestResponseCycle": "e67d470d435dcc1c",
    "FlowControl": "126debcdaa894c83",
    "ServerState": "f2260fbf10154746",
    "Server.main_loop": "afccb353a119333f",
    "Server.on_tick": "60ea49b06ccf68c1",
    "Server.shutdown": "9b33c50562992b1e",
    "_get_status_line": "d7012e110d2d2574",
}
CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"


def digest(of: object) -> str:
    """Of the source."""
    return hashlib.sha256(inspect.getsource(of).encode()).hexdigest()[:16]  # type: ignore[arg-type]


def test_the_version_is_the_one_that_was_read() -> None:
    assert version("uvicorn") == uvicorn.__version__ == VERSION
    assert f"uvicorn=={VERSION}\n" in CONSTRAINTS.read_text()


def test_what_we_rely_on_is_as_it_was_read() -> None:
    parts = (
        HttpToolsProtocol,
        RequestResponseCycle,
        flow_control.FlowControl,
        ServerState,
        Server.main_loop,
        Server.on_tick,
        Server.shutdown,
        httptools_impl._get_status_line,
    )
    assert {part.__qualname__: digest(part) for part in parts} == DIGESTS
