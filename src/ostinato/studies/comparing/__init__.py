"""Cells side by side: the same task, data, split, seeds and budget, and as many weights."""

from ostinato.studies.comparing.comparing import CELLS, compare
from ostinato.studies.comparing.result import CellRun, Comparison

__all__ = ["CELLS", "CellRun", "Comparison", "compare"]
