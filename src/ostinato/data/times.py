"""Times of tables: how they are written, whole columns of them, and single ones.

`time_format.py` remembers how they are written; `time_columns.py` reads a column by its type, `time_texts.py` texts,
`joined_times.py` several columns as one, `zoned_times.py` what clocks of a zone show; `time_cells.py` reads one row.
"""

from ostinato.data.time_cells import read_cell
from ostinato.data.time_columns import decide_times, read_times
from ostinato.data.time_format import (
    ANY,
    COUNTERS,
    FARTHEST,
    OPEN_ORDER,
    PARTS,
    STAMPS,
    AloneRow,
    Groups,
    Kind,
    TimeFormat,
)
from ostinato.data.zoned_times import localised, refuse_missing, takes_utc

__all__ = [
    "ANY", "COUNTERS", "FARTHEST", "OPEN_ORDER", "PARTS", "STAMPS", "AloneRow", "Groups", "Kind", "TimeFormat",
    "decide_times", "localised", "read_cell", "read_times", "refuse_missing", "takes_utc",
]  # fmt: skip
