"""The lower bounds that are declared are the versions that `dev.py oldest` tests with."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_the_oldest_versions_that_are_tested_are_those_that_are_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required = [
        *project["dependencies"],
        *(one for group in project["optional-dependencies"].values() for one in group),
    ]
    bounds = {
        found[1].lower(): found[2] for found in (re.match(r"([\w.-]+)>=([\w.]+)", one) for one in required) if found
    }
    lines = (ROOT / "constraints-oldest.txt").read_text().split()
    assert {name.lower(): version for name, version in (line.split("==") for line in lines)} == bounds
    unbounded = [one for one in required if not re.match(r"[\w.-]+(>=|\[)|ostinato", one)]
    assert set(unbounded) <= {"types-tqdm", "scipy-stubs"}  # types only: mypy alone reads them
