"""The pipelines of docs/openid.md, their lines run as the platforms run them."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.command_lines import CommandLine, Ran
from tests.support.openid_issuers import OpenIdIssuer

PAGE = Path(__file__).parents[3] / "docs" / "openid.md"
AUDIENCE = "https://flags.example.com"
# Where the machine has none of them.
STAND_INS = {
    "curl": """
import sys, urllib.error, urllib.request
name, value = sys.argv[sys.argv.index("-H") + 1].split(": ", 1)
try:
    request = urllib.request.Request(sys.argv[-1], headers={name: value})
    sys.stdout.write(urllib.request.urlopen(request).read().decode())
except urllib.error.HTTPError as error:
    sys.exit(f"curl: (22) The requested URL returned error: {error.code}")
""",
    "jq": "import json, sys; found = sys.stdin.read(); found and print(json.loads(found)['value'])",
}


@dataclass(frozen=True)
class Platform:
    """How it runs a step, and what it calls its own things."""

    heading: str
    issuer: str
    shell: tuple[str, ...]
    claims: dict[str, str]

    def blocks(self, language: str) -> str:
        section = PAGE.read_text().partition(self.heading)[2].partition("\n## ")[0]
        (block,) = re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)
        return str(block)


GITHUB = Platform(
    "## GitHub Actions",
    "https://token.actions.githubusercontent.com",
    ("bash", "-e"),
    {"repository": "acme/shop", "ref": "refs/heads/main"},
)
GITLAB = Platform(
    "## GitLab pipelines",
    "https://gitlab.com",
    ("bash", "-eo", "pipefail"),
    {"project_path": "acme/shop", "ref": "main", "ref_type": "branch"},
)


@dataclass(frozen=True)
class Pipeline:
    """One that was set up as the page says, in an installation of its own."""

    platform: Platform
    cli: CommandLine
    issuer: OpenIdIssuer
    folder: Path

    def run(self, *, audience: str = AUDIENCE, refused: bool = False, **changed: str) -> Ran:
        """A job whose token says this; `changed` are other claims, and FLAGCTL_ settings."""
        settings = {name: value for name, value in changed.items() if name.startswith("FLAGCTL_")}
        claims: dict[str, Any] = self.platform.claims | {
            name: value for name, value in changed.items() if name not in settings
        }
        token = self.issuer.token("job:1", audience, **claims)
        example = yaml.safe_load(self.platform.blocks("yaml"))
        with tokens_for_jobs(None if refused else token) as url:
            if self.platform is GITHUB:
                lines, environ = github(example, url, self.cli.environ)
            else:
                lines, environ = gitlab(example, token)
            return self._run(lines, environ | settings)

    def _run(self, lines: str, environ: dict[str, str]) -> Ran:
        script = self.folder / "step.sh"
        script.write_text(f"{lines}\necho it went on\n")
        address = {"FLAGCTL_DATABASE_URL": self.cli.environ["FLAGCTL_DATABASE_URL"]}
        ran = subprocess.run(
            [*self.platform.shell, script],
            env=self.machine() | address | environ,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return Ran(ran.returncode, ran.stdout, ran.stderr)

    def machine(self) -> dict[str, str]:
        """A runner that has flagctl, curl and jq."""
        own = self.folder / "bin"
        own.mkdir(exist_ok=True)
        for name in (n for n in STAND_INS if not shutil.which(n)):
            (own / name).write_text(f"#!{sys.executable}\n{STAND_INS[name]}")
            (own / name).chmod(0o755)
        path = os.pathsep.join([str(own), str(Path(sys.executable).parent), os.environ["PATH"]])
        kept = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
        return {**kept, "PATH": path, "HOME": str(self.folder)}


def github(example: Any, url: str, settings: Any) -> tuple[str, dict[str, str]]:
    """The step's lines, and its environment; secrets are the installation's settings."""
    assert example["permissions"]["id-token"] == "write"  # else there is no token to ask for
    (step,) = example["steps"]
    environ = {
        name: re.sub(r"\$\{\{ secrets\.(\w+) \}\}", lambda found: settings[found[1]], value)
        for name, value in step["env"].items()
    }
    own = {
        "ACTIONS_ID_TOKEN_REQUEST_URL": f"{url}?api-version=2.0",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "of-this-job",
        "GITHUB_SHA": "4b825dc",
    }
    return step["run"], own | environ


def gitlab(example: Any, token: str) -> tuple[str, dict[str, str]]:
    """It puts the token for the audience into the variable that is named."""
    ((variable, asked),) = example["deploy"]["id_tokens"].items()
    assert asked["aud"] == AUDIENCE
    return "\n".join(example["deploy"]["script"]), {variable: token, "CI_COMMIT_SHA": "4b825dc"}


@contextmanager
def tokens_for_jobs(token: str | None) -> Iterator[str]:
    """Where GitHub gives a job its token; None: it refuses."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers["Authorization"] == "bearer of-this-job"
            good = token is not None and asked and self.path.endswith(f"&audience={AUDIENCE}")
            self.send_response(200 if good else 403)
            self.end_headers()
            if good:
                self.wfile.write(json.dumps({"count": 1, "value": token}).encode())

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/token"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(params=[GITHUB, GITLAB], ids=["GitHub", "GitLab"])
def pipeline(
    request: pytest.FixtureRequest, cli: CommandLine, issuer: OpenIdIssuer, tmp_path: Path
) -> Pipeline:
    """Its issuer is a stand-in for the platform's."""
    platform: Platform = request.param
    lines = platform.blocks("sh").replace("\\\n", " ").replace(platform.issuer, issuer.url)
    for line in lines.splitlines():
        program, *words = shlex.split(line)
        assert program == "flagctl"
        cli.ok(*words)
    cli.ok("create", "new_checkout")
    return Pipeline(platform, cli, issuer, tmp_path)


def test_a_step_that_sets_a_flag(pipeline: Pipeline) -> None:
    ran = pipeline.run()
    assert (ran.code, ran.stderr) == (0, "")
    assert ran.stdout.startswith("new_checkout is on in prod")
    assert ran.stdout.endswith("it went on\n")
    event = pipeline.cli.json("audit", "list", "--limit", 1)[0]
    assert (event["actor_name"], event["reason"]) == ("deploy-shop", "4b825dc")


def test_steps_that_fail_well(pipeline: Pipeline) -> None:
    """With flagctl's exit code, one sentence and what to do; nothing after it is run."""
    unreachable = "postgresql://u:x@127.0.0.1:1/flagctl"
    cases: list[tuple[dict[str, Any], int, str]] = [
        ({"ref": "refs/heads/else"}, 4, "is not a member of any organization"),
        ({"audience": "https://else.example.com"}, 3, f"for another audience than '{AUDIENCE}'"),
        ({"FLAGCTL_DATABASE_URL": unreachable}, 7, "error: Postgres is unavailable: "),
    ]
    if pipeline.platform is GITHUB:
        cases.append(({"refused": True}, 3, "error: there is no token"))
    before = pipeline.cli.installation.last_change()
    for job, code, said in cases:
        ran = pipeline.run(**job)
        assert (ran.code, ran.stdout) == (code, ""), ran
        assert said in ran.stderr
        assert "Traceback" not in ran.stderr
    assert pipeline.cli.installation.last_change() == before
    pipeline.cli.ok("archive", "new_checkout")
    pipeline.cli.ok("delete", "new_checkout", "--yes")
    assert pipeline.run().code == 5
