"""Where utterances of a stream begin and end."""

import numpy as np
import pytest
from sounds import tone

from ostinato.data.audio import EndpointDetector, EndpointSettings
from ostinato.errors import DataError, UsageError

RATE = 8000


def speech(noise: float, seed: int = 0) -> np.ndarray:
    """Return 1 s of room, 1 s of speech with a pause of 0.2 s in it, 1.5 s of room, 0.5 s of speech, 1.5 s of room."""
    rng = np.random.default_rng(seed)
    samples = noise * rng.standard_normal(round(5.5 * RATE))
    for first, last in ((1.0, 1.4), (1.6, 2.0), (3.5, 4.0)):
        samples[int(first * RATE) : int(last * RATE)] += tone(last - first, RATE)
    return samples.astype(np.float32)


@pytest.mark.parametrize("noise", [0.0, 1e-4, 1e-3, 1e-2, 3e-2])
def test_utterances_are_found_in_a_quiet_room_and_in_a_loud_one(noise) -> None:
    detector = EndpointDetector(RATE)
    found = detector.accept(speech(noise)) + detector.finish()
    assert [own.begins for own in found] == [True, False, True, False]
    seconds = [own.sample / RATE for own in found]
    assert seconds == pytest.approx([1.0, 2.8, 3.5, 4.8], abs=0.06)


def test_a_noise_that_begins_and_stays_becomes_floor() -> None:
    rng = np.random.default_rng(0)
    samples = np.concatenate([1e-4 * rng.standard_normal(2 * RATE), 0.03 * rng.standard_normal(60 * RATE)])
    detector = EndpointDetector(RATE, EndpointSettings(longest=None))
    detector.accept(samples.astype(np.float32))
    assert not detector.speaking


def test_an_utterance_without_end_is_cut_where_it_is_too_long() -> None:
    detector = EndpointDetector(RATE, EndpointSettings(longest=1.0))
    samples = np.concatenate([np.zeros(RATE, np.float32), tone(2.5, RATE)])
    found = detector.accept(samples)
    assert sum(not own.begins for own in found) >= 2


def test_packets_and_states_change_nothing() -> None:
    samples, rng = speech(1e-3), np.random.default_rng(1)
    whole = EndpointDetector(RATE)
    expected = whole.accept(samples) + whole.finish()
    detector, found, place = EndpointDetector(RATE), [], 0
    while place < len(samples):
        size = int(rng.integers(1, 300))
        found += detector.accept(samples[place : place + size])
        place += size
        state = detector.state()
        detector = EndpointDetector(RATE)
        detector.restore(state)
    assert found + detector.finish() == expected


def test_digital_silence_is_no_speech_and_wrong_settings_and_states_are_refused() -> None:
    detector = EndpointDetector(RATE)
    assert detector.accept(np.zeros(3 * RATE, np.float32)) == []
    state = detector.state()
    for name, wrong in (("rest", None), ("hops", -1.0), ("floor", np.inf), ("begun", 10**9), ("quiet", 10**9),
                        ("recent", [3]), ("recent", [True] * 99)):  # fmt: skip
        with pytest.raises(DataError):
            detector.restore({**state, name: wrong})
    for wrong in ({"trailing": 0}, {"above": -1}, {"least": float("nan")}, {"longest": 0}):
        with pytest.raises(UsageError):
            EndpointSettings(**wrong)
