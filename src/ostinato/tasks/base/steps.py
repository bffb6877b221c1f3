"""What one recurrent step of a model is: a name, and how long it takes where that is known."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StepUnit:
    """A step of what the recurrent layers read.

    Args:
        name: in the plural: `"steps"`, `"tokens"`, `"visits"`.
        seconds: of time that one takes; `None`: it is not known, or steps are uneven.
    """

    name: str = "steps"
    seconds: float | None = None
