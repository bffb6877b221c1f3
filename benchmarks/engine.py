"""How fast the engine runs cells over time, against torch.nn, the eager cell, torch.compile and JAX.

    python benchmarks/engine.py --output benchmarks/results       everything; about a quarter of an hour
    python benchmarks/engine.py --quick                           under a minute
    python benchmarks/engine.py --only 'gru*,lstm' --sizes 0,1 --threads 1

A training step is forward and backward: the outputs, and the gradients of the inputs and of all weights. Before
anything is timed the peer's outputs and gradients must equal ours, from the same weights and inputs. Ours and the peers
then run in turns in one process, warmed up; the figures are medians. Each number of threads has its own process.
JAX, llvmlite (for the machine's peak), matplotlib and a C++ compiler (for torch.compile) are optional: what needs one
that is missing says `n/a` and why.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from fnmatch import fnmatchcase
from importlib import metadata
from pathlib import Path

from engine_plot import plot
from engine_records import ALL_PEERS, KEYS, Begun, Figure, Ratio, Record, Settings, append, read, spread
from engine_tables import compile_times, details, figure_tables, summary

_SIZES = 6
_QUICK = ("gru", "rnn", "lstm", "gru-lengths", "layernorm", "slstm", "peak", "stepper")


def main() -> int:
    """Measure and write; return the exit code."""
    arguments = _parser().parse_args()
    runs = [_settings(arguments, threads) for threads in _thread_counts(arguments)]
    machine = _machine()
    records = [record for settings in runs for record in _measure(settings)]
    ratios = spread([own for own in records if isinstance(own, Ratio)])
    text = _page(machine, runs[0], ratios, [own for own in records if isinstance(own, Figure)])
    print(text)
    if arguments.output:
        arguments.output.mkdir(parents=True, exist_ok=True)
        (arguments.output / "engine.md").write_text(text + "\n", encoding="utf-8")
        _draw(ratios, arguments.output / "engine.png")
    return 0 if any(own.ratio for own in ratios) or not ratios else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", type=_patterns, help=f"patterns, with commas, of: {', '.join(KEYS)}")
    parser.add_argument("--sizes", type=_numbers(range(_SIZES)), help="places in the list of sizes, such as 0,1")
    parser.add_argument("--threads", type=_numbers(range(1, 1025)), help="numbers of threads; 1,2 by default")
    parser.add_argument("--quick", action="store_true", help="one size, one thread, short turns, no torch.compile")
    parser.add_argument("--budget", type=float, help="seconds for each measurement; 0.7 by default")
    parser.add_argument(
        "--compile-steps", type=int, default=20, help="steps that torch.compile unrolls; 20 by default, 0 for none"
    )
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="where engine.md and engine.png go, such as benchmarks/results"
    )
    return parser


def _patterns(text: str) -> tuple[str, ...]:
    patterns = tuple(text.split(","))
    for pattern in patterns:
        if not any(fnmatchcase(key, pattern) for key in KEYS):
            raise argparse.ArgumentTypeError(f'nothing is called "{pattern}"; choose from {", ".join(KEYS)}')
    return patterns


def _numbers(allowed: range) -> Callable[[str], tuple[int, ...]]:
    def parse(text: str) -> tuple[int, ...]:
        numbers = tuple(int(part) for part in text.split(",") if part.strip().isdigit())
        if len(numbers) != len(text.split(",")) or not set(numbers) <= set(allowed):
            raise argparse.ArgumentTypeError(f"{text} is not a list of numbers from {allowed[0]} to {allowed[-1]}")
        return numbers

    return parse


def _thread_counts(arguments: argparse.Namespace) -> list[int]:
    """Return the numbers of threads that this machine has processors for."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = arguments.threads or ((1,) if arguments.quick else (1, 2))
    for threads in wanted:
        if threads > processors:
            print(f"{threads} threads are left out: there are {processors} processors", file=sys.stderr)
    return [threads for threads in wanted if threads <= processors] or [processors]


def _settings(arguments: argparse.Namespace, threads: int) -> Settings:
    quick = arguments.quick
    return Settings(
        threads=threads,
        sizes=arguments.sizes or ((1,) if quick else tuple(range(_SIZES))),
        only=arguments.only or (_QUICK if quick else ("*",)),
        budget=arguments.budget or (0.1 if quick else 0.7),
        compile_steps=arguments.compile_steps,
    )


def _measure(settings: Settings) -> list[Record]:
    """Run the measurements of one number of threads; where a process dies, continue after the job that killed it."""
    with tempfile.TemporaryDirectory() as folder:
        file, skip = Path(folder) / "records.jsonl", 0
        while code := _run_worker(settings, file, skip, Path(folder)):
            begun = [own for own in read(file) if isinstance(own, Begun)]
            if not begun or begun[-1].job < skip:
                sys.exit(f"the measuring process ended with code {code} before it began; its message is above")
            last = begun[-1]
            reason = f"the process ended with code {code}"
            append(file, Ratio(last.what, last.size, settings.threads, ALL_PEERS, None, reason=reason))
            skip = last.job + 1
        return list(read(file))


def _run_worker(settings: Settings, file: Path, skip: int, folder: Path) -> int:
    # compiled code of earlier runs must not be found, or the first call would not show what compiling takes
    caches = {"XDG_CACHE_HOME": str(folder / "cache"), "TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor")}
    environment = {**os.environ, **caches, "OMP_NUM_THREADS": str(settings.threads)}
    worker = Path(__file__).with_name("engine_worker.py")
    command = [sys.executable, str(worker), settings.to_json(), str(file), str(skip)]
    return subprocess.run(command, env=environment, check=False).returncode


def _page(machine: str, settings: Settings, ratios: list[Ratio], figures: list[Figure]) -> str:
    parts = [
        f"# Engine\n\n{machine}; `{' '.join(['engine.py', *sys.argv[1:]])}`",
        "A training step: outputs, and gradients of inputs and weights, equal to the peer's before it is timed. "
        f"Medians of runs in turns, {settings.budget:g} s for each. Sizes are batch x steps x input x hidden. A ratio "
        "above one says that ours is faster; `in the mean` says that the geometric mean meets the target and not every "
        "size does.",
    ]
    if any(own.peer == "torch.compile" for own in ratios):
        steps = settings.compile_steps
        parts.append(f"torch.compile unrolls the loop, which takes minutes for 100 steps: here both run {steps} steps.")
    if ratios:
        parts += ["## Summary", summary(ratios)]
        parts += [
            "## First call beyond a later one: median and largest over the sizes (caches on disk empty)",
            compile_times(ratios),
        ]
    if figures:
        parts.append(figure_tables(figures))
    if ratios:
        parts += ["## Every measurement", details(ratios)]
    return "\n\n".join(parts)


def _machine() -> str:
    """Return the date, the processor, how busy it is already, and the versions, in one line."""
    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        model = found[1] if found else model
    load = f", load {os.getloadavg()[0]:.1f} before the start" if hasattr(os, "getloadavg") else ""
    names = ("torch", "jax", "llvmlite", "numpy")
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in names if _is_installed(name))
    return f"{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}, {model}, {os.cpu_count()} processors{load}; {versions}"


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _draw(ratios: list[Ratio], path: Path) -> None:
    try:
        plot(ratios, path)
    except ImportError as error:
        print(f"no plot: {error}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
