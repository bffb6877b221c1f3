"""Log-mel features: the energy in bands of pitch as it is heard, a frame every 10 ms; of files as of streams.

Computed by kaldi-native-fbank, always through its online mode and without dither, so that a signal in packets gives the
bits of the signal whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ostinato.data.audio.libraries import library
from ostinato.data.audio.normalising import Frames, Normaliser, normalised
from ostinato.data.audio.resampling import Resampler, Samples, is_samples
from ostinato.errors import DataError, UsageError

Normalisation = Literal["none", "utterance", "global", "running"]
_WHOLE = 1 << 16  # samples that are handed over at once: memory does not grow with the length


@dataclass(frozen=True)
class FeatureSettings:
    """How samples become frames.

    Args:
        rate: samples a second that features are computed at; others are resampled.
        bins: bands, and so features of a frame; 3 or more.
        frame_length, frame_shift: in milliseconds.
        low, high: the lowest and the highest frequency, in Hz; `None`: half the rate.
        floor: the least energy of a band, of samples in [-1, 1]: about that of the last bit of 16.
        normalisation: of each band: `"none"`; `"utterance"`, to mean 0 and deviation 1 over the utterance, which must
            be over by then; `"global"`, by the training part; `"running"`, over the last seconds. The last two are
            causal: a frame depends on nothing behind it.
        horizon: of running normalisation, in seconds: what lies so far back counts 1/e.
    """

    rate: int = 16000
    bins: int = 40
    frame_length: float = 25.0
    frame_shift: float = 10.0
    low: float = 20.0
    high: float | None = None
    floor: float = float(np.finfo(np.float32).eps)
    normalisation: Normalisation = "global"
    horizon: float = 8.0

    @property
    def shift(self) -> int:
        """Samples from one frame to the next."""
        return int(self.rate * 0.001 * self.frame_shift)

    @property
    def length(self) -> int:
        """Samples that a frame sees."""
        return int(self.rate * 0.001 * self.frame_length)

    @property
    def look_ahead(self) -> float:
        """Milliseconds of sound behind the start of the next frame that a frame sees; resampling adds its own."""
        return self.frame_length - self.frame_shift

    @property
    def causal(self) -> bool:
        """Whether a frame depends on nothing behind it."""
        return self.normalisation != "utterance"

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the features of a frame."""
        return tuple(f"mel_{number + 1}" for number in range(self.bins))

    def frames(self, samples: int) -> int:
        """Return how many frames so many samples (of this rate) give: one at least."""
        return 1 + max(samples - self.length, 0) // self.shift if samples else 0

    def check(self) -> None:
        """Refuse settings that no features can be computed by.

        Raises:
            UsageError: one is out of range, or two do not go together.
            MissingExtra: `kaldi-native-fbank` is not installed.
        """
        if not 1_000 <= self.rate <= 768_000:
            raise UsageError(f"the rate of features is {self.rate}; expected 1000 to 768000 samples a second")
        if self.shift < 1 or self.length < 2 or self.frame_shift > self.frame_length or self.frame_length > 1000:
            raise UsageError(
                f"frames are {self.frame_length:g} ms long and {self.frame_shift:g} ms apart; expected a length up to "
                "1000 and a shift not above it"
            )
        high = self.rate / 2 if self.high is None else self.high
        if not 0 <= self.low < high <= self.rate / 2:
            raise UsageError(
                f"the frequencies are {self.low:g} to {high:g} Hz; expected them to rise, up to half the rate, "
                f"{self.rate / 2:g}"
            )
        if not (self.floor > 0 and self.horizon > 0):
            raise UsageError(f"floor is {self.floor:g} and horizon {self.horizon:g}; expected numbers above 0")
        try:
            library("kaldi_native_fbank").OnlineFbank(self.options())
        except ValueError as error:
            raise UsageError(
                f"{self.bins} bands do not go with {self.rate} samples a second and frames of "
                f"{self.frame_length:g} ms; expected 3 or more, and no more than frames can tell apart: take "
                "fewer bands, or a higher rate"
            ) from error

    def options(self) -> Any:
        """Return the settings as kaldi-native-fbank has them."""
        found = library("kaldi_native_fbank").FbankOptions()
        frame, mel = found.frame_opts, found.mel_opts
        frame.samp_freq, frame.dither, frame.snip_edges = self.rate, 0.0, True
        frame.frame_length_ms, frame.frame_shift_ms = self.frame_length, self.frame_shift
        mel.num_bins, mel.low_freq, mel.high_freq = self.bins, self.low, 0.0 if self.high is None else self.high
        found.eps, found.use_energy = self.floor, False
        return found


def features(
    samples: Samples, settings: FeatureSettings, normaliser: Normaliser | None = None, rate: int | None = None
) -> Frames:
    """Return the features of a whole signal.

    Args:
        samples: `(samples,)`, float32 in [-1, 1].
        settings: how.
        normaliser: fitted on the training part, for `"global"` and `"running"`; `None`: nothing is normalised by it.
        rate: of the samples; `None`: that of the settings.

    Returns:
        `(frames, bins)`, float32: of frame `t` the samples from `t * shift` to `t * shift + length`. A signal that is
        shorter than a frame has zeros behind it, and gives one.

    Raises:
        DataError: there are no samples.
    """
    online = OnlineFeatures(settings, normaliser, rate)
    parts = [online.accept(samples[first : first + _WHOLE]) for first in range(0, len(samples), _WHOLE)]
    found = np.concatenate([*parts, online.finish()])
    if not len(found):
        raise DataError("there are no samples to compute features of; expected one or more")
    return normalised(found) if settings.normalisation == "utterance" else found


class OnlineFeatures:
    """The features of a signal as it comes: the same bits as `features`, whatever the packets.

    Normalisation over the utterance needs its end and is not done here: frames come as they are, for
    `normalising.normalised` once they are all there.

    Args:
        settings: how.
        normaliser: see `features`.
        rate: of the samples that come; `None`: that of the settings.
    """

    def __init__(
        self, settings: FeatureSettings, normaliser: Normaliser | None = None, rate: int | None = None
    ) -> None:
        self.settings = settings
        self._normaliser = None if normaliser is None else normaliser.begin(settings)
        self._resampler = Resampler(rate or settings.rate, settings.rate)
        self.reset()

    @property
    def samples(self) -> int:
        """How many samples of the settings' rate were taken in since the signal began."""
        return self._taken

    def reset(self) -> None:
        """Begin a new signal."""
        self._resampler.reset()
        if self._normaliser is not None:
            self._normaliser.reset()
        self._begin(np.zeros(0, np.float32), 0, 0)

    def accept(self, samples: Samples) -> Frames:
        """Return the frames, `(frames, bins)`, that more samples complete."""
        return self._frames(self._resampler.accept(samples))

    def finish(self) -> Frames:
        """Return the frames that are left at the end of the signal, and begin a new one."""
        parts = [self._frames(self._resampler.finish())]
        if not self._given and self._taken:
            parts.append(self._frames(np.zeros(self.settings.length - self._taken, np.float32)))
        self.reset()
        return np.concatenate(parts)

    def state(self) -> dict[str, Any]:
        """Return what is needed to go on, as plain values and arrays.

        Its size does not grow: less than a frame of samples, of the resampler some 1 s, of running normalisation two
        numbers a band.
        """
        return {
            "samples": self._tail.copy(),
            "taken": self._taken,
            "given": self._given,
            "resampler": self._resampler.state(),
            "normaliser": None if self._normaliser is None else self._normaliser.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Resume from a state, to the same bits.

        Raises:
            DataError: it is none of these settings; all is as it was.
        """
        tail: Any
        tail, taken, given = (state.get(name) for name in ("samples", "taken", "given"))
        resampler, kept = state.get("resampler"), state.get("normaliser")
        if not (
            is_samples(tail)
            and isinstance(taken, int)
            and isinstance(given, int)
            and len(tail) <= self.settings.length
            and 0 <= given <= taken
            and given * self.settings.shift + len(tail) == taken
            and isinstance(resampler, Mapping)
        ):
            raise DataError("the state of the features is damaged or of other settings; give one of the same model")
        before = self.state()
        try:
            self._resampler.restore(resampler)
            if self._normaliser is not None:
                self._normaliser.restore(kept)
        except DataError:
            self._resampler.restore(before["resampler"])
            raise
        self._begin(tail.copy(), taken, given)

    def _begin(self, tail: Samples, taken: int, given: int) -> None:
        """Begin with samples from the start of the next frame on."""
        self._fbank = library("kaldi_native_fbank").OnlineFbank(self.settings.options())
        self._tail, self._taken, self._given, self._read = tail, taken, given, 0
        if len(tail):
            self._fbank.accept_waveform(self.settings.rate, tail)

    def _frames(self, samples: Samples) -> Frames:
        if not len(samples):
            return np.zeros((0, self.settings.bins), np.float32)
        self._fbank.accept_waveform(self.settings.rate, samples)
        ready = self._fbank.num_frames_ready
        new = ready - self._read
        found = np.zeros((new, self.settings.bins), np.float32)
        for row in range(new):
            found[row] = self._fbank.get_frame(self._read + row)
        self._fbank.pop(new)
        self._read, self._given, self._taken = ready, self._given + new, self._taken + len(samples)
        self._tail = np.concatenate([self._tail, samples])[new * self.settings.shift :]
        return found if self._normaliser is None else self._normaliser.accept(found)
