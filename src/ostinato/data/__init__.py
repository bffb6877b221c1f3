"""From files to windows: readers, roles of columns, the regular grid, scaling, splits in time order."""

from ostinato.data.calendar import calendar_cycles, calendar_features
from ostinato.data.events import EventLog, EventReading, read_event_log
from ostinato.data.frequency import Frequency
from ostinato.data.future import load_future
from ostinato.data.inference import infer_frequency
from ostinato.data.load import load_panel
from ostinato.data.panel import Panel, Series, format_time
from ostinato.data.readers import read_table
from ostinato.data.scaling import Affine, Scaler, Scaling
from ostinato.data.schema import MISSING, Schema
from ostinato.data.sequences import SequenceSet, read_sequences
from ostinato.data.splits import Part, Split, split_by_time
from ostinato.data.table_file import TableFile
from ostinato.data.times import TimeFormat
from ostinato.data.ts_files import read_ts
from ostinato.data.windows import WindowArrays, Windows, window_origins

__all__ = [
    "MISSING",
    "Affine",
    "EventLog",
    "EventReading",
    "Frequency",
    "Panel",
    "Part",
    "Scaler",
    "Scaling",
    "Schema",
    "SequenceSet",
    "Series",
    "Split",
    "TableFile",
    "TimeFormat",
    "WindowArrays",
    "Windows",
    "calendar_cycles",
    "calendar_features",
    "format_time",
    "infer_frequency",
    "load_future",
    "load_panel",
    "read_event_log",
    "read_sequences",
    "read_table",
    "read_ts",
    "split_by_time",
    "window_origins",
]
