"""PyTorch's own tests of recurrent layers, run as they are and run with our layers in their place.

    python3 dev.py bench torch_tests FOLDER [--files test_nn.py,test_jit.py] [--timeout 120] [--json counts.json]

FOLDER is the folder `test` of PyTorch's source, best of the installed version; nothing of it is in this repository. A
test is run if its name or its source speaks of a recurrent layer or of packed sequences. Three ways, each in processes
of its own, from the same seeds:

- torch: `torch.nn` as it is;
- ours: `torch.nn.RNN`, `LSTM`, `GRU` and their cells are those of `ostinato.nn`, which leave small calls to PyTorch;
- engine: the same, and every call that the engine can take is run by it, however small.

A test that crashes or runs over its time ends its process; the others continue in a new one.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from common import ROOT, machine, table

FILES = (
    "test_nn.py",
    "nn/test_packed_sequence.py",
    "nn/test_load_state_dict.py",
    "nn/test_pruning.py",
    "nn/test_parametrization.py",
    "nn/test_module_hooks.py",
    "test_modules.py",
    "test_jit.py",
    "test_autograd.py",
    "test_autocast.py",
    "test_expanded_weights.py",
    "test_fake_tensor.py",
    "test_fx.py",
    "test_mkldnn.py",
    "test_serialization.py",
)
WAYS = ("torch", "ours", "engine")
WORKER = Path(__file__).resolve().parent / "torch_tests_worker.py"
START_SECONDS = 300.0
"""What a process may take to import a file of tests."""


@dataclass(frozen=True)
class Outcome:
    """What became of one test."""

    status: str
    """`passed`, `failed` or `skipped`; a crash and a time-out are failures, as the message says."""
    seconds: float
    message: str


@dataclass(frozen=True)
class Job:
    """One file, one way."""

    folder: Path
    file: str
    way: str
    match: str
    timeout: float


class Journal:
    """The lines that a worker appends: which test began, and how it ended."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def lines(self) -> list[dict[str, object]]:
        """Return what was written so far."""
        whole = self.path.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in whole if line.endswith("}")]

    def running(self) -> str | None:
        """Return the test that began and has not ended."""
        begun = None
        for line in self.lines():
            begun = str(line["test"]) if line["event"] == "begin" else None
        return begun

    def end(self, test: str, status: str, seconds: float, message: str) -> None:
        """Write how a test ended that could not write it itself."""
        line = {"event": "end", "test": test, "status": status, "seconds": seconds, "message": message}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"\n{json.dumps(line)}\n")

    def outcomes(self) -> dict[str, Outcome]:
        """Return every test that ended."""
        return {
            str(line["test"]): Outcome(str(line["status"]), float(str(line["seconds"])), str(line["message"]))
            for line in self.lines()
            if line["event"] == "end"
        }


def run_job(job: Job) -> dict[str, Outcome]:
    """Run one file one way, in as many processes as it needs."""
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "journal")
        while run_process(job, journal, Path(folder) / "output"):
            pass
        return journal.outcomes()


def run_process(job: Job, journal: Journal, output: Path) -> bool:
    """Run a worker until it ends or must be ended; tell whether another has to continue."""
    before = len(journal.lines())
    with output.open("wb") as sink:
        worker = subprocess.Popen(
            [sys.executable, str(WORKER), job.file, job.way, job.match, str(journal.path)],
            cwd=job.folder,
            env=environment(),
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
        over = watch(worker, journal, job.timeout)
    if worker.returncode == 0 and not over:
        return False
    told = output.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-8:]
    test = journal.running()
    if test is None and len(journal.lines()) == before:
        journal.end(f"(import of {job.file})", "failed", 0.0, over or "\n".join(told))
        return False
    if test is not None:
        crash = f"the process ended with code {worker.returncode}: " + "\n".join(told)
        journal.end(test, "failed", job.timeout if over else 0.0, over or crash)
    return True


def environment() -> dict[str, str]:
    """Return the variables of a worker: our source first on the path."""
    paths = [str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}


def watch(worker: subprocess.Popen[bytes], journal: Journal, timeout: float) -> str:
    """Wait for a worker; end it, and say why, once it has written nothing for too long."""
    size, since = -1, time.monotonic()
    while worker.poll() is None:
        now = journal.path.stat().st_size
        if now != size:
            size, since = now, time.monotonic()
        limit = timeout if journal.running() is not None else START_SECONDS
        if time.monotonic() - since > limit:
            worker.kill()
            worker.wait()
            return f"over {limit:.0f} s"
        time.sleep(0.1)
    return ""


def counts(outcomes: dict[str, Outcome]) -> str:
    """Return passed / failed / skipped."""
    found = Counter(outcome.status for outcome in outcomes.values())
    return f"{found['passed']} / {found['failed']} / {found['skipped']}"


def seconds(outcomes: dict[str, Outcome]) -> str:
    """Return how long the tests took together."""
    return f"{sum(outcome.seconds for outcome in outcomes.values()):.0f}"


def worse(runs: dict[str, dict[str, Outcome]], way: str) -> list[str]:
    """Return the tests that pass, or are skipped, with torch alone and not one of these ways."""
    plain, own = runs["torch"], runs[way]
    return [
        test
        for test, outcome in own.items()
        if outcome.status == "failed" and plain.get(test, outcome).status != "failed"
    ] + [test for test in plain if test not in own]


def report(runs: dict[str, dict[str, dict[str, Outcome]]], ways: list[str]) -> str:
    """Return the table of counts, and the names of what fails with ours alone."""
    head = ["file", "tests", *(f"{way}: passed / failed / skipped" for way in ways), *(f"{way}, s" for way in ways)]
    rows: list[list[str]] = []
    together: dict[str, dict[str, Outcome]] = {way: {} for way in ways}
    for file, own in runs.items():
        for way in ways:
            together[way] |= {f"{file}::{test}": outcome for test, outcome in own[way].items()}
        rows.append(line(file, own, ways))
    parts = [table(head, [*rows, line("all", together, ways)])]
    for way in ways[1:]:
        names = worse(together, way)
        parts.append(f"{way}: {len(names)} fail that do not fail with torch alone" + (":" if names else ""))
        parts += [f"- {name}: {last_line(together[way].get(name))}" for name in names]
    slow = [slower(together, way) for way in ways[1:]]
    return "\n\n".join([parts[0], "\n".join(parts[1:]), *filter(None, slow)])


def line(name: str, own: dict[str, dict[str, Outcome]], ways: list[str]) -> list[str]:
    """Return one row of the table."""
    tests = len(set().union(*own.values()))
    return [name, str(tests), *(counts(own[way]) for way in ways), *(seconds(own[way]) for way in ways)]


def last_line(outcome: Outcome | None) -> str:
    """Return the end of a message, which says what was wrong."""
    if outcome is None:
        return "was not found"
    lines = [each for each in outcome.message.splitlines() if each.strip()]
    return lines[-1][:200] if lines else ""


def slower(runs: dict[str, dict[str, Outcome]], way: str) -> str:
    """Return the tests that take longest beside torch alone."""
    gaps = {
        test: (outcome.seconds, runs["torch"][test].seconds)
        for test, outcome in runs[way].items()
        if test in runs["torch"] and outcome.seconds > 1 + 1.5 * runs["torch"][test].seconds
    }
    if not gaps:
        return ""
    worst = sorted(gaps, key=lambda test: gaps[test][1] - gaps[test][0])[:10]
    return table(
        [f"slower, {way}", "s", "torch, s"], [[test, f"{gaps[test][0]:.1f}", f"{gaps[test][1]:.1f}"] for test in worst]
    )


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="the folder `test` of PyTorch's source")
    parser.add_argument("--files", help="files in it, with commas between them; by default all that are known")
    parser.add_argument("--ways", default=",".join(WAYS), help="of torch, ours, engine; torch is always run")
    parser.add_argument("--match", default="", help="a regular expression that the names of tests must match as well")
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds that one test may take")
    parser.add_argument("--json", type=Path, help="where every outcome goes")
    return parser.parse_args()


def as_json(runs: dict[str, dict[str, dict[str, Outcome]]]) -> str:
    """Return every outcome as text."""
    plain = {
        file: {way: {test: asdict(outcome) for test, outcome in own.items()} for way, own in each.items()}
        for file, each in runs.items()
    }
    return json.dumps({"torch": torch.__version__, "runs": plain}, indent=1) + "\n"


def main() -> int:
    """Run all and print the table; the exit code tells whether anything fails with ours alone."""
    given = arguments()
    folder = given.folder.resolve()
    files = [file for file in (given.files.split(",") if given.files else FILES) if (folder / file).exists()]
    ways = [way for way in WAYS if way == "torch" or way in given.ways.split(",")]
    if not files:
        sys.exit(
            f"{folder} holds none of {given.files or ', '.join(FILES)}; give the folder `test` of PyTorch's source"
        )
    runs: dict[str, dict[str, dict[str, Outcome]]] = {}
    for file in files:
        runs[file] = {}
        for way in ways:
            runs[file][way] = run_job(Job(folder, file, way, given.match, given.timeout))
            print(
                f"{file}, {way}: {counts(runs[file][way])}, {seconds(runs[file][way])} s", file=sys.stderr, flush=True
            )
    stamp = f"{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}, {machine()}"
    print(f"# PyTorch's own recurrent tests\n\n{stamp}\n\n{report(runs, ways)}")
    if given.json is not None:
        given.json.write_text(as_json(runs), encoding="utf-8")
    bad = any(worse(each, way) for each in runs.values() for way in ways[1:])
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
