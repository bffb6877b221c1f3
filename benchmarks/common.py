"""What the benchmarks share: where the data lies, the machine in words, tables as text."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("OSTINATO_DATA", ROOT.parent / "shared" / "data"))
RESULTS = ROOT / "benchmarks" / "results"


def data_file(name: str) -> Path:
    """Return a file of the shared data, or end with a sentence that says where it was looked for."""
    path = DATA / name
    if not path.exists():
        sys.exit(f"{path} does not exist; put the data there, or set OSTINATO_DATA to its folder")
    return path


def machine() -> str:
    """Return the machine and the libraries in one line."""
    return f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table; floats with three decimals."""
    cells = [[f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    lines = ["| " + " | ".join(row) + " |" for row in [list(head), ["---"] * len(head), *cells]]
    return "\n".join(lines)


def keep(name: str, text: str) -> None:
    """Print a result and keep it as text in `benchmarks/results`."""
    print(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / name).write_text(text + "\n", encoding="utf-8")
