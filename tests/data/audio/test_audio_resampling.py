"""Resampling in pieces: the bits of the whole, near those of soxr in one run, from a state that is small."""

import numpy as np
import pytest
import soxr
from sounds import tone

from ostinato.data.audio import Resampler, resampled
from ostinato.errors import DataError


@pytest.mark.parametrize(("rate", "to"), [(8000, 16000), (44100, 16000), (48000, 8000), (11025, 16000), (44101, 16000)])
def test_a_signal_in_pieces_and_restored_has_the_bits_of_the_whole_which_is_that_of_soxr(rate, to) -> None:
    samples, rng = tone(3.3, rate), np.random.default_rng(0)
    whole = resampled(samples, rate, to)
    assert len(whole) == len(once := soxr.resample(samples, rate, to))
    assert np.abs(whole - once).max() < 1e-6
    resampler, parts, place, largest = Resampler(rate, to), [], 0, 0
    while place < len(samples):
        size = int(rng.integers(1, rate // 10))
        parts.append(resampler.accept(samples[place : place + size]))
        place += size
        if rng.random() < 0.3:
            state = resampler.state()
            largest = max(largest, len(state["held"]))
            resampler = Resampler(rate, to)
            resampler.restore(state)
    parts.append(resampler.finish())
    assert np.array_equal(np.concatenate(parts), whole)
    assert largest <= 3 * rate
    assert np.array_equal(resampler.whole(samples), whole)  # begun again after its end


@pytest.mark.parametrize("count", [0, 1, 7, 100, 8000, 8001, 8900, 16000])
def test_a_signal_of_any_length_has_as_many_samples_as_soxr_gives(count) -> None:
    samples = tone(2.0, 8000)[:count]
    assert len(resampled(samples, 8000, 11025)) == len(soxr.resample(samples, 8000, 11025))


def test_a_damaged_state_is_refused() -> None:
    resampler = Resampler(8000, 16000)
    resampler.accept(tone(1.7, 8000))
    good = resampler.state()
    for wrong in ({"held": None}, {"held": good["held"][:-1].astype(np.float64)}, {"given": -1}, {"given": 10**9},
                  {"first": 3}, {"given": good["given"] + 1}, {"given": max(good["given"] - 1, 0)},
                  {"held": np.zeros(10**6, np.float32)}):  # fmt: skip
        with pytest.raises(DataError):
            Resampler(8000, 16000).restore({**good, **wrong})
