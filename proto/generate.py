"""Builds what the protos become: Python stubs under libs/, and the descriptor image that buf reads.

Owns the one protoc command line of the project. It refuses to leave a stale stub behind: a file whose proto
is gone is removed by a build and reported by a check.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from importlib import resources
from pathlib import Path

ROOT = Path(__file__).resolve().parent
LIBS = ROOT.parent / "libs"
COMMENTS = ROOT.parent / "services" / "gateway" / "descriptors.binpb"
PACKAGES = ("retinue", "externalscaler")
GENERATED = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi")


def sources() -> list[str]:
    """Return every proto of the project, relative to the include root."""
    found = sorted(str(path.relative_to(ROOT)) for package in PACKAGES for path in (ROOT / package).rglob("*.proto"))
    if not found:
        raise SystemExit("there is no .proto file under proto/retinue or proto/externalscaler")
    return found


def protoc(protos: list[str], *outputs: str) -> None:
    """Run protoc over the given protos with the given output options."""
    include = (ROOT, Path(str(resources.files("grpc_tools") / "_proto")), Path(sysconfig.get_path("purelib")))
    # The mypy plugins are console scripts beside this interpreter, which need not be on PATH.
    path = os.pathsep.join((sysconfig.get_path("scripts"), os.environ.get("PATH", "")))
    command = [sys.executable, "-m", "grpc_tools.protoc", *(f"-I{folder}" for folder in include), *outputs, *protos]
    if subprocess.run(command, env=os.environ | {"PATH": path}, check=False).returncode:
        raise SystemExit("protoc refused the protos; its message stands above")


def stubs(folder: Path) -> set[Path]:
    """Return the generated files under a source root, relative to it."""
    return {
        path.relative_to(folder)
        for package in PACKAGES
        for path in (folder / package).rglob("*")
        if path.name.endswith(GENERATED) or path.name == "py.typed"
    }


def build(target: Path) -> None:
    """Generate messages, services and their type stubs into a source root."""
    protos = sources()
    services = [path for path in protos if re.search(r"^service ", (ROOT / path).read_text("utf-8"), re.MULTILINE)]
    protoc(protos, f"--python_out={target}", f"--mypy_out=quiet:{target}")
    protoc(services, f"--grpc_python_out={target}", f"--mypy_grpc_out=quiet:{target}")
    for package in PACKAGES:
        if (target / package).is_dir():
            (target / package / "py.typed").touch()


def generate() -> None:
    """Bring libs/ in line with the protos, removing stubs that no proto stands for any more."""
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch)
        build(fresh)
        for stale in stubs(LIBS) - stubs(fresh):
            (LIBS / stale).unlink()
        for path in stubs(fresh):
            (LIBS / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(fresh / path, LIBS / path)
    commented(COMMENTS)


def check() -> None:
    """Exit with the list of stubs that differ from what the protos say."""
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch)
        build(fresh)
        wanted, found = stubs(fresh), stubs(LIBS)
        same = {path for path in wanted & found if filecmp.cmp(fresh / path, LIBS / path, shallow=False)}
        drift = sorted(str(path) for path in (wanted | found) - same)
        commented(fresh / COMMENTS.name)
        if not COMMENTS.exists() or not filecmp.cmp(fresh / COMMENTS.name, COMMENTS, shallow=False):
            drift.append(str(COMMENTS.relative_to(ROOT.parent)))
    if drift:
        raise SystemExit("stubs differ from the protos, run `make proto`:\n  " + "\n  ".join(drift))


def image(target: Path) -> None:
    """Write a self-contained descriptor image, comments included, for buf."""
    protoc(sources(), "--include_imports", "--include_source_info", f"--descriptor_set_out={target.resolve()}")


def commented(target: Path) -> None:
    """Write the descriptors of our own protos with their comments, which the gateway's OpenAPI document repeats."""
    ours = [path for path in sources() if path.startswith("retinue/")]
    protoc(ours, "--include_source_info", f"--descriptor_set_out={target.resolve()}")


def main() -> None:
    """Parse the command line: no argument generates, `check` compares, `image FILE` writes the image."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("check", help="fail when committed stubs differ from the protos")
    commands.add_parser("image", help="write the descriptor image").add_argument("file", type=Path)
    chosen = parser.parse_args()
    if chosen.command == "check":
        check()
    elif chosen.command == "image":
        image(chosen.file)
    else:
        generate()


if __name__ == "__main__":
    main()
