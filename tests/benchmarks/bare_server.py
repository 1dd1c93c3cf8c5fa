"""The yardstick: a bare ASGI callable under uvicorn that sends the same bytes every time.

Usage: python -m tests.benchmarks.bare_server FILE; prints its port. FILE is JSON: headers, body.
"""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from tests.benchmarks.load import ON_SERVER_CORE
from tests.support.readers import Answer


@contextmanager
def running(answer: Answer, folder: Path) -> Iterator[tuple[str, int]]:
    """The address and the pid of one that sends this answer."""
    described = folder / "answer.json"
    headers = [[name, value] for name, value in answer.headers.items() if name != "date"]
    described.write_text(json.dumps({"headers": headers, "body": answer.body.decode()}))
    command = [*ON_SERVER_CORE, sys.executable, "-m", "tests.benchmarks.bare_server"]
    with subprocess.Popen([*command, str(described)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/", process.pid
        finally:
            process.terminate()


def application(headers: list[tuple[bytes, bytes]], body: bytes) -> Any:
    start = {"type": "http.response.start", "status": 200, "headers": headers}
    content = {"type": "http.response.body", "body": body}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start)
        await send(content)

    return app


def main(path: Path) -> None:
    answer = json.loads(path.read_text())
    headers = [(name.encode(), value.encode()) for name, value in answer["headers"]]
    bound = socket.create_server(("127.0.0.1", 0))
    print(bound.getsockname()[1], flush=True)
    config = uvicorn.Config(
        application(headers, answer["body"].encode()),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
    )
    uvicorn.Server(config).run(sockets=[bound])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
