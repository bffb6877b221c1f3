"""What an event predictor has to beat, and which prefixes are judged."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from event_logs import case_of, make_log
from ostinato import EventPredictor
from ostinato.tasks.base.fitting import Given, read_parts
from ostinato.tasks.events.baselines import LastActivities, WaitsByActivity
from ostinato.tasks.events.cases import Case, Cases, encode_log, fit_encoder

CASES = st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=6), min_size=1, max_size=6)


def _recursion(train: list[list[int]], run: tuple[int, ...], following: int) -> float:
    """Witten and Bell's rule as it is written; 0 stands before a case, 4 for its end."""
    shorter = 1 / 4 if not run else _recursion(train, run[1:], following)
    counts: Counter[int] = Counter()
    for case in train:
        padded = [0] * 3 + case
        for place in range(3, len(padded)):
            before = tuple(padded[place - len(run) + 1 : place + 1])
            if before == run:
                counts[[*padded, 4][place + 1]] += 1
    n, d = sum(counts.values()), len(counts)
    return shorter if n == 0 else (counts[following] + d * shorter) / (n + d)


@settings(max_examples=25, deadline=None)
@given(CASES, st.lists(st.integers(1, 3), min_size=1, max_size=5), st.integers(1, 3))
def test_counts_backed_off_are_those_of_the_recursion_and_add_up_to_one(train, test, order) -> None:
    counts = LastActivities.fit(Cases(tuple(case_of(own, 3) for own in train)), 4, order)
    found = counts.predict(Cases((case_of(test, 3),))).probabilities
    assert found.sum(-1) == pytest.approx(np.ones(len(test)))
    padded = [0] * order + test
    for place in range(len(test)):
        run = tuple(padded[place + 1 : place + 1 + order])
        expected = [_recursion(train, run, following) for following in range(1, 5)]
        assert found[place] == pytest.approx(expected)


def test_waits_are_means_and_medians_of_each_activity() -> None:
    own = Case(
        np.array([1, 1, 2, 1]), np.zeros((4, 1)), np.zeros((4, 1), np.int64), np.zeros(4, np.int64),
        np.stack([np.array([1.0, 2.0, 7.0, np.nan]), np.array([1.0, 1.0, 1.0, np.nan])], -1),
    )  # fmt: skip
    mean, median = (WaitsByActivity.fit(Cases((own,)), name) for name in ("mean", "median"))
    assert mean.predict(Cases((case_of([1, 2, 3], 3),))).seconds[:, 0] == pytest.approx([1.5, 7, 10 / 3])
    assert median.predict(Cases((case_of([2, 3], 3),))).seconds[:, 0] == pytest.approx([7, 2])


@pytest.mark.parametrize(
    ("protocol", "judged"),
    [((1, True), [0, 1, 2, 3]), ((2, True), [1, 2]), ((2, False), [1]), ((1, False), [0, 1])],
)
def test_a_protocol_judges_the_prefixes_that_it_says(protocol, judged) -> None:
    cases = Cases((case_of([1, 2, 1], 3), case_of([3], 3)))
    found = np.flatnonzero(cases.judged(*protocol, 4))
    assert found.tolist() == judged
    assert cases.prefixes[found].tolist() == [[1, 2, 3, 1][place] for place in judged]


def parts_of(log, **options):
    own = EventPredictor(**options)
    return read_parts(own.task, own, Given(log))


def test_cases_are_held_out_by_their_start_or_as_they_stand() -> None:
    log = make_log(9)
    turned = {name: own[::-1] for name, own in log.items()}
    parts = parts_of(turned, validation=0.5)
    assert parts.test.cases == ("c6", "c7", "c8")
    assert parts.validation.cases == ("c3", "c4", "c5")
    parts = parts_of(turned, validation=0.5, order="file")
    assert parts.test.cases == ("c2", "c1", "c0")


def test_the_help_desk_is_split_and_counted_as_the_published_script_does(shared_data) -> None:
    columns = {"case": "CaseID", "activity": "ActivityID", "time": "CompleteTimestamp"}
    path = shared_data / "helpdesk_events/helpdesk.csv"
    parts = parts_of(path, order="file", validation=0.0, **columns)
    assert (len(parts.train), len(parts.test)) == (2536, 1268)
    encoder = fit_encoder(parts.train, "lognormal")
    cases = encode_log(encoder, parts.test)
    judged = cases.judged(2, False, len(encoder.known) + 1)
    # events from the third on, counted from the file by hand
    assert judged.sum() == sum(max(len(own) - 2, 0) for own in parts.test.activities) == 1993
    seconds = np.concatenate([own[2:] for own in parts.test.gaps])
    np.testing.assert_allclose(np.sort(cases.waits[judged, 0]), np.sort(seconds))
