"""Training sounds changed a little each time they are read: speed, loudness, noise, masks over time and frequency.

What is drawn depends on a seed, the epoch and the utterance alone, so that training that is resumed draws the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ostinato.data.audio.resampling import resampled
from ostinato.errors import UsageError

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Augmentation:
    """How training sounds are changed; each change at random, within these limits.

    Args:
        speeds: of which one is drawn; pitch changes with it. (1.0,): none.
        gain: decibels up or down, at most.
        noise: the share of sounds that get noise; of which the signal-to-noise ratio, in decibels, lies in `snr`.
        frequency_masks, frequency_width: how many bands of frequencies are hidden, and how wide at most, a share.
        time_masks, time_width: how many stretches of time are hidden, and how long at most, in frames.
        time_share: the share of an utterance that all of these hide at most, so that short ones keep their words.

    Sources: D. Park et al., "SpecAugment: a simple data augmentation method for automatic speech recognition",
    Interspeech 2019 (masks); T. Ko et al., "Audio augmentation for speech recognition", Interspeech 2015 (speed).
    """

    speeds: tuple[float, ...] = (0.9, 1.0, 1.1)
    gain: float = 6.0
    noise: float = 0.3
    snr: tuple[float, float] = (10.0, 40.0)
    frequency_masks: int = 2
    frequency_width: float = 0.2
    time_masks: int = 2
    time_width: int = 30
    time_share: float = 0.2

    def __post_init__(self) -> None:
        """Refuse limits that are none.

        Raises:
            UsageError: one is out of range.
        """
        shares = (self.noise, self.frequency_width, self.time_share)
        if not self.speeds or not all(0.5 <= speed <= 2 for speed in self.speeds):
            raise UsageError(f"speeds are {self.speeds}; expected one or more from 0.5 to 2")
        if not all(0 <= share <= 1 for share in shares) or self.gain < 0 or self.snr[0] > self.snr[1]:
            raise UsageError("noise, frequency_width and time_share are shares from 0 to 1, gain 0 or more, snr rises")
        if min(self.frequency_masks, self.time_masks, self.time_width) < 0:
            raise UsageError("masks and their width are numbers from 0 up")


def rng_of(seed: int, epoch: int, item: int) -> np.random.Generator:
    """Return what draws for an utterance in an epoch: the same wherever training was cut and resumed."""
    return np.random.default_rng([seed, epoch, item])


def perturbed(samples: Samples, rate: int, rng: np.random.Generator, by: Augmentation) -> Samples:
    """Return samples `(samples,)` at another speed, louder or quieter, with noise.

    The noise is white, or falls with frequency (each power of frequency from 0 to -2 alike), as that of rooms does.
    """
    speed = float(by.speeds[int(rng.integers(len(by.speeds)))])
    gain = 10 ** (rng.uniform(-by.gain, by.gain) / 20)
    found = samples
    if speed != 1 and len(samples) > 1:
        found = resampled(samples, round(rate * speed), rate)
    found = found * np.float32(gain)
    if rng.random() < by.noise:
        found = with_noise(found, rng.uniform(*by.snr), rng)
    return np.clip(found, -1.0, 1.0)


def with_noise(samples: Samples, snr: float, rng: np.random.Generator) -> Samples:
    """Return samples `(samples,)` with noise at a signal-to-noise ratio in decibels; of silence, silence."""
    power = float(np.square(samples, dtype=np.float64).mean()) if len(samples) else 0.0
    if power == 0:
        return samples
    noise = rng.standard_normal(len(samples))
    spectrum = np.fft.rfft(noise)
    spectrum *= np.maximum(np.arange(len(spectrum)), 1.0) ** -rng.uniform(0.0, 1.0)
    noise = np.fft.irfft(spectrum, len(samples))
    scale = np.sqrt(power / 10 ** (snr / 10) / max(float(np.square(noise).mean()), 1e-30))
    found: Samples = (samples + scale * noise).astype(np.float32)
    return found


def masked(
    frames: NDArray[np.float32], rng: np.random.Generator, by: Augmentation, fill: float = 0.0
) -> NDArray[np.float32]:
    """Return frames `(frames, bins)` of which some stretches of time and bands of frequencies are hidden.

    Args:
        frames: normalised, so that `fill`, 0, is the mean.
        rng: what draws.
        by: how many, and how wide.
        fill: what is put there.
    """
    found = frames.copy()
    count, bins = frames.shape
    for _ in range(by.frequency_masks):
        width = int(rng.integers(0, int(by.frequency_width * bins) + 1))
        first = int(rng.integers(0, bins - width + 1))
        found[:, first : first + width] = fill
    most = min(by.time_width, int(by.time_share * count / max(by.time_masks, 1)))
    for _ in range(by.time_masks):
        width = int(rng.integers(0, most + 1))
        first = int(rng.integers(0, count - width + 1))
        found[first : first + width] = fill
    return found
