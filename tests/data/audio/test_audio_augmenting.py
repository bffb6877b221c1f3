"""Training sounds changed: the same for the same draw, within limits, with words left."""

import numpy as np
import pytest
from sounds import tone

from ostinato.data.audio import Augmentation, masked, perturbed, rng_of
from ostinato.data.audio.augmenting import with_noise
from ostinato.errors import UsageError

PLAIN = Augmentation(speeds=(1.0,), gain=0.0, noise=0.0)


def test_what_is_drawn_depends_on_seed_epoch_and_utterance_alone() -> None:
    def drawn(*place):
        rng = rng_of(*place)
        return perturbed(tone(), 16000, rng, Augmentation(noise=1.0)), masked(np.ones((80, 40)), rng, Augmentation())

    for one, again in zip(drawn(1, 2, 3), drawn(1, 2, 3), strict=True):
        assert np.array_equal(one, again)
    for other in ((0, 2, 3), (1, 0, 3), (1, 2, 0)):
        assert not np.array_equal(drawn(1, 2, 3)[0], drawn(*other)[0])


def test_speed_changes_length_and_pitch_as_tape_does() -> None:
    fast = perturbed(tone(1.0, pitch=500), 16000, rng_of(0, 0, 0), Augmentation(speeds=(1.25,), gain=0.0, noise=0.0))
    assert len(fast) == 12800
    spectrum = np.abs(np.fft.rfft(fast))
    assert spectrum.argmax() * 16000 / len(fast) == pytest.approx(625, abs=3)


@pytest.mark.parametrize("snr", [0.0, 10.0, 30.0])
def test_noise_has_the_ratio_that_is_asked_for_and_silence_stays(snr) -> None:
    clean = tone(2.0)
    noise = with_noise(clean, snr, rng_of(0, 0, 0)) - clean
    found = 10 * np.log10(np.square(clean).mean() / np.square(noise).mean())
    assert found == pytest.approx(snr, abs=0.05)
    assert not with_noise(np.zeros(99, np.float32), snr, rng_of(0, 0, 0)).any()


def test_gain_stays_within_its_limits_and_nothing_is_changed_where_nothing_is_asked_for() -> None:
    clean = tone()
    assert np.array_equal(perturbed(clean, 16000, rng_of(0, 0, 0), PLAIN), clean)
    by = Augmentation(speeds=(1.0,), gain=6.0, noise=0.0)
    gains = [float(np.abs(perturbed(clean, 16000, rng_of(0, 0, i), by)).max() / np.abs(clean).max()) for i in range(50)]
    assert 0.5 <= min(gains) < 0.7
    assert 1.5 < max(gains) <= 2.0


@pytest.mark.parametrize("frames", [1, 5, 30, 400])
def test_masks_hide_no_more_than_their_share(frames) -> None:
    by = Augmentation()
    for item in range(40):
        found = masked(np.ones((frames, 40), np.float32), rng_of(0, 0, item), by)
        assert (found == 0).all(1).mean() <= by.time_share
        assert (found == 0).all(0).mean() <= by.frequency_masks * by.frequency_width


@pytest.mark.parametrize(
    "wrong",
    [{"speeds": ()}, {"speeds": (3.0,)}, {"noise": 2.0}, {"gain": -1.0}, {"snr": (3.0, 1.0)}, {"time_masks": -1}],
)
def test_limits_that_are_none_are_refused(wrong) -> None:
    with pytest.raises(UsageError):
        Augmentation(**wrong)
