"""nginx, serving one file as it would serve a finished answer: one worker, no access log."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.load import ON_SERVER_CORE
from tests.support.developments import free_port
from tests.support.readers import Answer
from tests.support.waiting import eventually

_CONFIGURATION = """
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 100000000;
    open_file_cache max=10;
    default_type application/json;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        root {folder};
    }}
}}
"""


def is_installed() -> bool:
    return shutil.which("nginx") is not None


@contextmanager
def running(answer: Answer, parent: Path) -> Iterator[tuple[str, int]]:
    """The address of the file, and the pid."""
    folder, port = parent / "nginx", free_port()
    folder.mkdir()
    folder.chmod(0o755)
    parent.chmod(0o755)  # its worker is nobody
    (folder / "flags").write_bytes(answer.body)
    file = folder / "nginx.conf"
    file.write_text(_CONFIGURATION.format(folder=folder, port=port))
    with subprocess.Popen([*ON_SERVER_CORE, "nginx", "-c", str(file)]) as process:
        try:
            eventually((folder / "nginx.pid").exists, "nginx runs")
            yield f"http://127.0.0.1:{port}/flags", process.pid
        finally:
            process.terminate()
