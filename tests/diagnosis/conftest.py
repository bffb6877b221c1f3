"""Fixtures of the tests of diagnosis."""

import itertools
from types import SimpleNamespace

import pytest


@pytest.fixture(autouse=True)
def _time_is_how_often_it_is_looked_at(monkeypatch) -> None:
    """Let a millisecond go by at each look at the clock: what is measured must not depend on how busy a machine is."""
    looks = itertools.count()
    clock = SimpleNamespace(monotonic=lambda: next(looks) / 1000)
    for module in ("findings", "rates"):
        monkeypatch.setattr(f"ostinato.diagnosis.{module}.time", clock)
