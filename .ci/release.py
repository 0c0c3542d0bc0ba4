"""Builds the wheel and the sdist, checks both, and runs an example from each in a new environment.

    tox -e release

Python 3.10 or newer; the files are in .tox/release/files/dist afterwards.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "sessions"


def run(*command: str | Path, **options: object) -> str:
    """Runs a command; returns what it prints."""
    print("$", *command, flush=True)
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "REDIS_URL")}
    ran = subprocess.run([*map(str, command)], text=True, stdout=subprocess.PIPE, env=environment, **options)  # type: ignore[call-overload]
    if ran.returncode:
        sys.exit(f"{ran.stdout}\n{command[0]} failed with exit code {ran.returncode}.")
    return str(ran.stdout)


def names_in(distribution: Path) -> set[str]:
    """Returns the files of a wheel or of a sdist, without the sdist's folder."""
    if distribution.suffix == ".whl":
        with zipfile.ZipFile(distribution) as archive:
            return set(archive.namelist())
    with tarfile.open(distribution) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


def check_files(distribution: Path) -> None:
    """Checks that a distribution has all files of the package, and a wheel no others."""
    tracked = run("git", "ls-files", "adk_extra_sessions", cwd=ROOT).splitlines()
    names = names_in(distribution)
    missing = set(tracked) - names
    if missing:
        sys.exit(f"{distribution.name} lacks {sorted(missing)}.")
    if distribution.suffix == ".whl" and any(name.startswith(("tests/", "benchmarks/")) for name in names):
        sys.exit(f"{distribution.name} has files of tests or benchmarks.")


def check_installed(distribution: Path, work: Path) -> None:
    """Installs a distribution into a new environment, and runs an example and the command line from there."""
    folder = work / distribution.name
    venv.create(folder, with_pip=True, clear=True)
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    run(scripts / "pip", "install", "-q", f"{distribution}[fakes,cli]", cwd=work)
    example = folder / "example"
    shutil.copytree(EXAMPLE, example)  # away from the checkout, whose package must not be imported
    said = run(scripts / "python", "redis_session_example.py", cwd=example)
    if "HELLO FROM RUN 1" not in said:
        sys.exit(f"The example did not answer:\n{said}")
    print(said)
    where = run(scripts / "python", "-c", "import adk_extra_sessions as a; print(a.__version__, a.__file__)", cwd=work)
    if str(folder) not in where:
        sys.exit(f"Another package than the installed one was imported: {where}")
    print(where)
    run(scripts / "adk-sessions", "--help", cwd=work)


def main(folder: Path) -> None:
    """Builds and checks into a folder, which is emptied before."""
    shutil.rmtree(folder, ignore_errors=True)
    dist = folder / "dist"
    run(sys.executable, "-m", "build", "--outdir", dist, cwd=ROOT)
    distributions = sorted(dist.iterdir())
    run(sys.executable, "-m", "twine", "check", "--strict", *distributions)
    for distribution in distributions:
        check_files(distribution)
        check_installed(distribution, folder)
    print("Ready:", *distributions, sep="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
