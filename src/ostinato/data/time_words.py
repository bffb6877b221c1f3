"""Times written out: for people, and to be read again."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np

from ostinato.data.zones import aware


def time_text(time: Any) -> str:
    """Return a time of a panel as text that `read_times` reads back: ISO, with the offset if it has a zone."""
    if isinstance(time, datetime):
        return time.isoformat()
    if isinstance(time, np.timedelta64):
        days, rest = divmod(time.astype("timedelta64[us]").astype(object), timedelta(days=1))
        clock, dot, part = str(rest).partition(".")
        return f"{days} days {clock}{dot}{part.rstrip('0')}"
    return str(time)


def format_time(time: Any, zone: str | None = None) -> str:
    """Return a time for people: without the clock where it is midnight, a number as it is.

    Args:
        time: of a panel.
        zone: of an instant that is `datetime64`.
    """
    if isinstance(time, np.datetime64) and zone is not None:
        time = aware(np.array([time], "datetime64[us]"), zone)[0]
    if isinstance(time, datetime):
        text = str(time.replace(microsecond=0))
        return text.replace(":00+", "+", 1) if time.second == 0 else text
    if isinstance(time, (np.timedelta64, timedelta)):
        return time_text(np.timedelta64(time, "us"))
    if not isinstance(time, np.datetime64):
        return str(int(time)) if float(time).is_integer() else f"{time:.10g}"
    text = str(time.astype("datetime64[s]")).replace("T", " ")
    return text.removesuffix(" 00:00:00").removesuffix(":00") if not text.endswith(" 00:00:00") else text[:10]
