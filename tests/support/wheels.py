"""Prove that every pinned package has a wheel for each Python that flagctl supports.

A wheel that is not made for one Python version fits all of them; the others are asked for by
version, without installing anything. Run by `make wheels`.
"""

import os
import subprocess
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path

VERSIONS = ("3.11", "3.12", "3.13", "3.14")


def main(constraints: Path) -> int:
    pins = dict(line.split("==") for line in constraints.read_text().split())
    bound = {d.name for d in distributions() if _is_bound_to_one_python(d)}
    asked = [f"{name}=={version}" for name, version in pins.items() if name in bound]
    here = f"{sys.version_info.major}.{sys.version_info.minor}"  # what is installed is proved
    missing = [v for v in VERSIONS if v != here and not _has_wheels(v, asked)]
    for version in missing:
        print(f"a pinned package has no wheel for Python {version}", file=sys.stderr)
    return 1 if missing or not asked else 0


def _is_bound_to_one_python(distribution: Distribution) -> bool:
    """Whether its wheel is tagged as cp311-cp311: not pure, not for the stable ABI."""
    lines = (distribution.read_text("WHEEL") or "").splitlines()
    tags = [line.removeprefix("Tag: ") for line in lines if line.startswith("Tag: ")]
    return any(tag.startswith("cp") and "-abi3-" not in tag for tag in tags)


def _has_wheels(version: str, requirements: list[str]) -> bool:
    environment = {k: v for k, v in os.environ.items() if k != "PIP_CONSTRAINT"}
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--no-deps"]
    command += ["--ignore-installed", "--only-binary", ":all:", "--python-version", version]
    command += ["--target", "unused", *requirements]
    return subprocess.run(command, env=environment, check=False).returncode == 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
