"""Event predictors that several files look at, trained once."""

import pytest

from event_logs import SMALL, make_desk, make_log
from ostinato import EventPredictor


@pytest.fixture(scope="session")
def model() -> EventPredictor:
    return EventPredictor(epochs=15, **SMALL).fit(make_log(240))


@pytest.fixture(scope="session")
def desk() -> EventPredictor:
    return EventPredictor(**{**SMALL, "trees": True, "epochs": 20}).fit(make_desk(200))
