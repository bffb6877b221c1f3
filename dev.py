#!/usr/bin/env python3
"""The task runner: needs Python 3.11 and pip, and does all its own set-up in `.venv`.

python3 dev.py demo             train, evaluate and stream a forecaster on a real series (arguments go to it)
python3 dev.py test             run the tests (arguments go to pytest)
python3 dev.py oldest           run a part of the tests with the oldest versions that are declared; `.venv-oldest` takes
                                some 8 GB, since PyTorch of that age comes with CUDA
python3 dev.py targets          run the tests of compiled code as on older x86 processors: AVX2, and without AVX
python3 dev.py check            linters, types and import contracts
python3 dev.py bench [NAME]     run a benchmark; without a name, list them
python3 dev.py catalogue        write docs/cells.md from the cells
python3 dev.py docs             build the site into build/site; --external follows the links to other sites too
python3 dev.py setup            only make .venv and install
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
OLDEST = ROOT / ".venv-oldest"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
ONE_THREAD = {name: os.environ.get(name, "1") for name in ("OMP_NUM_THREADS", "POLARS_MAX_THREADS")}
EXTRAS = {"demo": "demo", "setup": "dev", "docs": "dev,docs"}
SITE = ROOT / "build" / "site"
OLDEST_TESTS = (
    "tests/engine",
    "tests/nn",
    "tests/cells",
    "tests/data",
    "tests/test_stepper.py",
    "tests/test_artifact.py",
)
TARGET_TESTS = (
    "tests/engine/cpu/test_lanes.py",
    "tests/engine/cpu/test_mathlib.py",
    "tests/engine/cpu/test_products.py",
    "tests/engine/test_calls.py",
    "tests/engine/test_compiled.py",
    "tests/engine/test_gradients_law.py",
    "tests/engine/test_halves.py",
    "tests/engine/test_linear.py",
    "tests/engine/test_scan.py",
    "tests/engine/test_special_values.py",
    "tests/engine/test_torch_samples.py",
    "tests/cells/test_laws.py",
    "tests/cells/test_references.py",
    "tests/nn/dropin/test_layers.py",
    "tests/nn/test_recurrent.py",
    "tests/nn/test_stacks.py",
    "tests/test_stepper.py",
)
"""Whose numbers come from compiled code; what the engine watches, keeps and refuses is the same on every processor."""
QUICK_ONES = ("-m", "not slow", "-n", "2", "--dist", "worksteal")
"""On two processes: each begins with one half of the tests, in order, and takes over from the other when it is done."""
CHECKS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
    ("lint-imports",),
)


def main() -> int:
    """Run one task and return its exit code."""
    if sys.version_info < (3, 11):  # noqa: UP036  (whoever starts it may have an older one)
        return fail(f"Python 3.11 or newer is needed; this is {sys.version.split()[0]}")
    task, *rest = sys.argv[1:] or ["help"]
    tasks = {
        "demo": demo,
        "test": test,
        "oldest": oldest,
        "targets": targets,
        "check": check,
        "bench": bench,
        "catalogue": catalogue,
        "docs": docs,
        "setup": lambda _: 0,
    }
    if task not in tasks:
        print(__doc__.strip())
        return 0 if task in ("help", "-h", "--help") else 2
    code = 0 if task == "oldest" else install(EXTRAS.get(task, "dev"))
    return code or tasks[task](rest)


def demo(rest: list[str]) -> int:
    """Run the demo."""
    return run(python_of(VENV), "-m", "ostinato", "demo", *rest)


def test(rest: list[str]) -> int:
    """Run pytest; without arguments, all but the slow tests, on two processes.

    Several processes take one thread each: threads of one that wait for each other hold up those of the others.
    """
    given = rest or QUICK_ONES
    return run(python_of(VENV), "-m", "pytest", *given, environment=ONE_THREAD if in_processes(given) else {})


def in_processes(options: Sequence[str]) -> bool:
    """Tell whether pytest is asked to share tests among processes."""
    return any(option.startswith(("-n", "--numprocesses")) for option in options)


def oldest(rest: list[str]) -> int:
    """Run tests with the lower bounds of pyproject.toml; without arguments, those of the rooms that meet libraries."""
    code = install("dev", OLDEST, "constraints-oldest.txt")
    given = rest or [*QUICK_ONES, *OLDEST_TESTS]
    environment = ONE_THREAD if in_processes(given) else {}
    return code or run(python_of(OLDEST), "-m", "pytest", *given, environment=environment)


def targets(rest: list[str]) -> int:
    """Run the tests of compiled code once for each older processor, the later ones too if one fails."""
    given = rest or [*QUICK_ONES, *TARGET_TESTS]
    codes = []
    for target in ("avx2", "baseline"):
        print(f"compiled for {target}:", flush=True)
        environment = {**ONE_THREAD, "OSTINATO_TARGET": target}
        codes.append(run(python_of(VENV), "-m", "pytest", *given, environment=environment))
    return max(codes)


def check(_: list[str]) -> int:
    """Run every check, the later ones too if one fails."""
    return max(run(BIN / command, *arguments) for command, *arguments in CHECKS)


def bench(rest: list[str]) -> int:
    """Run a benchmark, or list them."""
    scripts = [path for path in (ROOT / "benchmarks").glob("*.py") if "__main__" in path.read_text(encoding="utf-8")]
    stems = {path.stem for path in scripts}
    # `engine_worker.py` and its like are parts of `engine.py`
    names = sorted(stem for stem in stems if not any(stem.startswith(f"{other}_") for other in stems))
    if not rest or rest[0] not in names:
        print("benchmarks: " + ", ".join(names))
        return 2 if rest else 0
    return run(python_of(VENV), ROOT / "benchmarks" / f"{rest[0]}.py", *rest[1:])


def catalogue(_: list[str]) -> int:
    """Write the page of the catalogue."""
    return run(python_of(VENV), ROOT / "docs" / "cells.py")


def docs(rest: list[str]) -> int:
    """Build the site, where a warning is an error: a dead link, a page in no list, a notebook that fails."""
    if set(rest) - {"--external"}:
        return fail(f"docs takes --external and nothing else, not {' '.join(rest)}")
    sphinx = (
        python_of(VENV),
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-q",
        "-d",
        ROOT / "build" / "pages",
        ROOT / "docs",
    )
    code = run(*sphinx, SITE, environment=ONE_THREAD)
    if code == 0 and "--external" in rest:
        code = run(*sphinx, "-b", "linkcheck", ROOT / "build" / "links", environment=ONE_THREAD)
    print(f"the site is {SITE / 'index.html'}" if code == 0 else "the site has faults; they are named above")
    return code


def install(extra: str, venv: Path = VENV, constraints: str = "constraints.txt") -> int:
    """Make a virtual environment and install under the constraints, unless that was done already for these files."""
    stamp = venv / f"installed-{extra}"
    wanted = fingerprint(constraints)
    if stamp.exists() and stamp.read_text() == wanted:
        return 0
    python = python_of(venv)
    if not python.exists() and run(sys.executable, "-m", "venv", venv):
        return fail("the virtual environment could not be made; on Debian, install python3-venv")
    print(f"installing into {venv.name} (once; a few minutes on a slow network) ...", flush=True)
    # pip of older Pythons is slow to resolve; the constraints pin everything all the same
    code = run(python, "-m", "pip", "install", "-q", "-c", ROOT / constraints, "-e", f"{ROOT}[{extra}]")
    if code:
        return fail("pip could not install; its message is above: check the network, then run this again")
    stamp.write_text(wanted)
    return 0


def fingerprint(constraints: str) -> str:
    """Return a checksum of what decides an installation."""
    files = [ROOT / "pyproject.toml", ROOT / constraints]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def python_of(venv: Path) -> Path:
    """Return the interpreter of a virtual environment."""
    return venv / "Scripts" / "python.exe" if os.name == "nt" else venv / "bin" / "python"


def run(*command: object, environment: Mapping[str, str] = MappingProxyType({})) -> int:
    """Run a command in the repository, with more in its environment, and return its exit code."""
    return subprocess.run(
        [str(part) for part in command], cwd=ROOT, check=False, env={**os.environ, **environment}
    ).returncode


def fail(sentence: str) -> int:
    """Print what went wrong and return an exit code."""
    print(f"dev.py: {sentence}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
