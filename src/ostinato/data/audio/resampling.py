"""Samples at another rate, piece by piece, with a state that is small."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostinato.data.audio.libraries import library
from ostinato.errors import DataError

Samples = NDArray[np.float32]
_SEGMENT, _WARM_UP = 1.0, 0.1  # seconds


class Resampler:
    """From one rate to another by soxr, whatever the pieces: the same bits in one piece, in many, and once restored.

    soxr's own state cannot be read. It is therefore started again at fixed places, a second apart, each time with the
    tenth of a second before that place, after which its output is that of one that never stopped but for the last bit.
    So a state is at most 1.1 s of input, and however a signal is cut it gives the same samples.

    soxr works in blocks: outputs come up to 45 ms after their input where the rate falls, up to 115 ms where it rises
    from 8 to 16 kHz, none where it stays.

    Args:
        rate: of the input, samples a second; whole.
        to: of the output.
    """

    def __init__(self, rate: int, to: int) -> None:
        self.rate, self.to = rate, to
        divisor = math.gcd(rate, to)
        self._step, self._up = rate // divisor, to // divisor  # so many inputs give so many outputs
        self._segment = max(1, round(_SEGMENT * rate / self._step)) * self._step
        self._warm = math.ceil(_WARM_UP * rate / self._step) * self._step
        self.reset()

    def reset(self) -> None:
        """Begin a new signal."""
        self._held: Samples = np.zeros(0, np.float32)  # inputs since a warm-up before the segment
        self._first = 0  # of the held inputs, those that are warm-up
        self._given = 0  # outputs of the segment that were given out
        self._soxr: Any = None
        self._skip = 0
        self._taken_again: Samples = self._held

    def accept(self, samples: Samples) -> Samples:
        """Return the outputs that more input, `(samples,)`, makes known."""
        return self._go_on(np.asarray(samples, np.float32), last=False)

    def finish(self) -> Samples:
        """Return the outputs that are left at the end of a signal, and begin a new one."""
        found = self._go_on(np.zeros(0, np.float32), last=True)
        self.reset()
        return found

    def whole(self, samples: Samples) -> Samples:
        """Return a whole signal at the other rate."""
        self.reset()
        return np.concatenate([self.accept(samples), self.finish()])

    def state(self) -> dict[str, Any]:
        """Return what is needed to go on: at most some 1.1 s of input and two numbers."""
        return {"held": self._held.copy(), "first": self._first, "given": self._given}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Resume from a state.

        Raises:
            DataError: it is none of a resampler of these rates.
        """
        held: Any
        held, first, given = (state.get(name) for name in ("held", "first", "given"))
        if not (is_samples(held) and isinstance(first, int) and isinstance(given, int)):
            raise DataError("the state of the resampler lacks a part; give one that `state()` returned")
        most = self._segment + 8 * self._warm
        if not (first in (0, self._warm) and first <= len(held) <= most and 0 <= given <= self._most()):
            raise DataError("the state of the resampler is of other rates; give one of the same model and rate")
        self._held, self._first, self._given, self._soxr = held.copy(), first, given, None
        if len(held):
            self._start(self._given)

    def _most(self) -> int:
        return self._segment // self._step * self._up

    def _start(self, given: int) -> None:
        """Run a fresh soxr over what is held, without what was given out already."""
        self._soxr = library("soxr").ResampleStream(self.rate, self.to, 1, dtype="float32", quality="HQ")
        self._skip = self._first // self._step * self._up + given
        more = self._run(self._held, last=False)
        if len(more) or (given and self._skip):
            raise DataError("the state of the resampler is of another version of soxr; begin a new stream")

    def _run(self, samples: Samples, *, last: bool) -> Samples:
        found: Samples = self._soxr.resample_chunk(samples, last=last)
        skipped = min(self._skip, len(found))
        self._skip -= skipped
        return found[skipped:]

    def _go_on(self, samples: Samples, *, last: bool) -> Samples:
        if self.rate == self.to:
            return samples
        parts: list[Samples] = []
        # never more than to the end of a warm-up behind the segment at once, so that memory is bounded
        end = self._segment + self._warm
        while True:
            if self._soxr is None:
                self._start(0)
            room = max(self._first + end - len(self._held), 0) or self._warm
            piece, samples = samples[:room], samples[room:]
            self._held = np.concatenate([self._held, piece])
            found = self._run(piece, last=last and not len(samples))
            found = found[: self._most() - self._given]
            self._given += len(found)
            parts.append(found)
            if self._given == self._most() and len(self._held) >= self._first + self._segment:
                self._next()
                samples = np.concatenate([self._taken_again, samples])
            elif not len(samples):
                return np.concatenate(parts)

    def _next(self) -> None:
        """Begin the next segment: its warm-up is held, and what came behind is read once more."""
        start = self._first + self._segment - self._warm
        self._taken_again = self._held[start + self._warm :]
        self._held = self._held[start : start + self._warm]
        self._first, self._given, self._soxr = self._warm, 0, None


def is_samples(value: Any) -> bool:
    """Tell whether a value is an array of finite float32 samples, `(samples,)`."""
    return bool(
        isinstance(value, np.ndarray) and value.dtype == np.float32 and value.ndim == 1 and np.isfinite(value).all()
    )


def resampled(samples: Samples, rate: int, to: int) -> Samples:
    """Return a whole signal at another rate, as `Resampler` gives it.

    Args:
        samples: `(samples,)`.
        rate: of the samples, a second.
        to: of what is returned.

    >>> tone = np.sin(np.arange(44100) * 0.05).astype(np.float32)
    >>> len(resampled(tone, 44100, 16000))
    16000
    """
    return samples if rate == to else Resampler(rate, to).whole(samples)
