"""Here every call that the engine can take goes through it, however small, and is counted."""

from collections import Counter

import pytest

from ostinato.nn.dropin import choice, layers, quick


@pytest.fixture(autouse=True)
def scans(monkeypatch) -> Counter[str]:
    counted: Counter[str] = Counter()
    run = layers.scan_checked

    def counting(cell, *args, **kwargs):
        counted[type(cell).__name__] += 1
        return run(cell, *args, **kwargs)

    quickly = quick.run_calls

    def counting_quickly(*args, **kwargs):
        done = quickly(*args, **kwargs)
        counted["quickly"] += done is not None
        return done

    monkeypatch.setattr(layers, "scan_checked", counting)
    monkeypatch.setattr(quick, "run_calls", counting_quickly)
    monkeypatch.setattr(choice, "pays", lambda *_: True)
    return counted
