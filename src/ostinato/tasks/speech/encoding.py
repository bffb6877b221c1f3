"""From utterances to frames and units: what is fitted on the training part, and what the network reads."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from ostinato.data.audio import FeatureSettings, Normaliser, SoundNotes, Utterances, features, normalised
from ostinato.data.notes import note
from ostinato.nn.losses.ctc import needed_steps
from ostinato.tasks.base.holding_out import fingerprint
from ostinato.tasks.speech.choices import Choices, suited_loss, suited_normal, suited_subsampling
from ostinato.tasks.speech.decoding import Aids
from ostinato.tasks.speech.loudness import Quiet
from ostinato.tasks.speech.parameters import SpeechParameters
from ostinato.tasks.speech.units import SpeechUnits
from ostinato.words import counted

Frames: TypeAlias = "NDArray[np.float32]"
_KEPT = 1 << 30  # bytes of frames that are kept in memory; those of longer recordings are computed each time
_MOST = 256
_FEW, _MANY = 40, 80  # bands, below 16 kHz and from there on
_FEW_WORDS, _OFTEN = 40, 10


@dataclass(frozen=True)
class SpeechEncoder:
    """What was fitted on the training part.

    Args:
        units: what is written; settings: how samples become frames; normaliser: of frames; choices: of the network;
        aids: what helps it to write.

    Raises:
        ValueError: the parts do not belong together, as in a file that was changed.
    """

    reading: ClassVar[bool] = True

    units: SpeechUnits
    settings: FeatureSettings
    normaliser: Normaliser
    choices: Choices
    aids: Aids = field(default_factory=Aids)

    def __post_init__(self) -> None:
        """Refuse parts that do not go together, which a file may hold.

        Raises:
            ValueError, UsageError: so it is.
        """
        if not 1 <= self.settings.bins <= _MOST:
            raise ValueError(f"its frames have {self.settings.bins:.3g} bands; expected 1 to {_MOST}")
        if self.normaliser.mean.shape != (self.settings.bins,):
            raise ValueError(f"its normaliser is of {self.normaliser.mean.shape} bands, not of {self.settings.bins}")
        self.settings.check()
        if self.aids.ngrams is not None and self.aids.ngrams.ngrams.symbols != len(self.units):
            raise ValueError("its n-grams are of other units")

    @property
    def sizes(self) -> dict[str, int]:
        """The whole numbers that the network is made of."""
        return {"bins": self.settings.bins, "classes": len(self.units)}

    @property
    def step(self) -> float:
        """Seconds from one frame to the next."""
        return self.settings.shift / self.settings.rate

    @classmethod
    def fit(cls, parameters: SpeechParameters, train: Utterances) -> SpeechEncoder:
        """Find units, measure frames, decide what is left open.

        Raises:
            DataError: no utterance can be learned from.
        """
        texts = train.texts or ()
        units = SpeechUnits.build(
            texts,
            parameters.units,
            lower=parameters.lower,
            punctuation=parameters.punctuation,
            size=parameters.vocabulary_size,
            min_count=parameters.min_count,
        )
        _say_words(texts, parameters.units)
        rate = parameters.rate or train.usual_rate()
        settings = FeatureSettings(rate, parameters.bins or (_FEW if rate < 16000 else _MANY), normalisation="none")
        settings.check()
        raw = RawFrames.of(train, settings, Choices.of(parameters).tail)
        targets = [units.encode(text) for text in texts]
        loss = parameters.loss or suited_loss(raw.lengths.tolist(), list(map(len, targets)))
        subsampling = parameters.subsampling or suited_subsampling(
            raw.lengths.tolist(), least_steps(targets), 2**parameters.pyramid, [1] if loss == "transducer" else None
        )
        choices = Choices.of(parameters, subsampling, loss, suited_normal(train.durations.tolist()), len(train))
        return cls(
            units,
            replace(settings, normalisation=choices.normalize),
            Normaliser.fit(raw[row] for row in range(len(raw))),
            choices,
            Aids.fit(parameters, texts, units),
        )

    def normalised(self, raw: Frames) -> Frames:
        """Return log-mel frames `(frames, bands)` of a whole utterance as the network reads them."""
        if self.settings.normalisation == "utterance":
            return normalised(raw)
        running = self.normaliser.begin(self.settings)
        return raw if running is None else running.accept(raw)

    def encode(self, utterances: Utterances) -> Spoken:
        """Return utterances as frames and units."""
        texts = utterances.texts or ("",) * len(utterances)
        raw = RawFrames.of(utterances, replace(self.settings, normalisation="none"), self.choices.tail)
        return Spoken(
            utterances, self, raw, tuple(map(self.units.prepared, texts)), [self.units.encode(text) for text in texts]
        )


class RawFrames(Sequence[Frames]):
    """The log-mel frames of utterances: in memory up to a bound, else computed when they are asked for.

    Args:
        utterances: whose; settings: how; tail: seconds of silence behind each.
    """

    def __init__(self, utterances: Utterances, settings: FeatureSettings, tail: float) -> None:
        # not the utterances themselves: they are what the frames are kept by
        self._read, self.settings, self.tail = weakref.ref(utterances), settings, tail
        self._kept: list[Frames | None] = []
        lengths, size, notes = [], 0, SoundNotes(utterances.origin)
        for row in range(len(utterances)):
            notes.see(utterances.ids[row], utterances.samples(row, settings.rate))
            frames = self._computed(utterances, row)
            size += frames.nbytes
            lengths.append(len(frames))
            self._kept.append(frames if size <= _KEPT else None)
        notes.say()
        self.lengths: NDArray[np.int64] = np.array(lengths, np.int64)

    @classmethod
    def of(cls, utterances: Utterances, settings: FeatureSettings, tail: float) -> RawFrames:
        """Return the frames of utterances, those that were computed already if there are any."""
        found = _known.get(utterances)
        if found is None or (found.settings, found.tail) != (settings, tail):
            found = _known[utterances] = cls(utterances, settings, tail)
        return found

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, row: Any) -> Any:
        """Return the frames of one, `(frames, bands)`."""
        frames = self._kept[row]
        utterances = self._read()
        return self._computed(utterances, row) if frames is None and utterances is not None else frames

    def _computed(self, utterances: Utterances, row: int) -> Frames:
        samples = utterances.samples(row, self.settings.rate)
        return features(np.concatenate([samples, silence(self.tail, self.settings.rate)]), self.settings)


def silence(seconds: float, rate: int) -> NDArray[np.float32]:
    """Return samples of nothing."""
    return np.zeros(round(seconds * rate), np.float32)


_known: weakref.WeakKeyDictionary[Utterances, RawFrames] = weakref.WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class Spoken:
    """Utterances as the network reads them.

    Args:
        utterances: where they are from; encoder: by which they are read; raw: their frames.
        texts: what is said, as units have it; targets: its units.
    """

    utterances: Utterances
    encoder: SpeechEncoder
    raw: RawFrames
    texts: tuple[str, ...]
    targets: list[list[int]]

    def __len__(self) -> int:
        return len(self.utterances)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Frames of each, `(utterances,)`."""
        return self.raw.lengths

    def frames(self, row: int) -> Frames:
        """Return the standardised frames of one, `(frames, bands)`."""
        return self.encoder.normalised(self.raw[row])

    def quiet(self, row: int) -> NDArray[np.int64]:
        """Return for each frame of an utterance how many frames it has been quiet, `(frames,)`."""
        return Quiet(self.encoder.step).accept(self.raw[row])

    def fits(self, parameters: SpeechParameters) -> NDArray[np.bool_]:
        """Tell of each whether it can be learned from: CTC needs a step for each unit, and one between equal ones."""
        if self.encoder.choices.loss != "ctc":  # of those without room a transducer is learned alone
            there: NDArray[np.bool_] = self.lengths > 0
            return there
        reduction = self.encoder.choices.subsampling * 2**parameters.pyramid
        room: NDArray[np.bool_] = np.array(least_steps(self.targets), np.int64) <= -(-self.lengths // reduction)
        return room

    def too_long(self, parameters: SpeechParameters) -> list[str]:
        """Return the names of utterances whose transcripts are longer than CTC can write."""
        return [self.utterances.ids[row] for row in np.flatnonzero(~self.fits(parameters)).tolist()]

    @cached_property
    def fingerprint(self) -> str:
        """What tells them from others in a checkpoint."""
        sums = np.array([float(self.raw[row].sum(dtype=np.float64)) for row in range(len(self))])
        return fingerprint(self.lengths, sums, self.targets)

    def strange(self) -> dict[str, int]:
        """Return what the texts hold that is no unit, and how often."""
        found: dict[str, int] = {}
        for text in self.texts:
            for unit in self.encoder.units.unknown(text):
                found[unit] = found.get(unit, 0) + 1
        return found


def _say_words(texts: Sequence[str], units: str) -> None:
    """Say that whole words may be learned where there are few, each heard often: none is then spelled wrong."""
    if units == "word":
        return
    counts = Counter(word for text in texts for word in text.split())
    if counts and len(counts) <= _FEW_WORDS and min(counts.values()) >= _OFTEN:
        words, times = counted(len(counts), "words"), counted(min(counts.values()), "times")
        note(
            f"the transcripts have only {words}, each at least {times}; as units they "
            'may be learned quicker than characters: units="word" (--units word), which writes no others'
        )


def least_steps(targets: Sequence[Sequence[int]]) -> list[int]:
    """Return how many steps CTC needs for units: one for each, and one between equal neighbours.

    >>> least_steps([[1, 2], [1, 1], []])
    [2, 3, 1]
    """
    lengths = torch.tensor([len(units) for units in targets])
    found: list[int] = needed_steps(padded(targets), lengths).clamp_min(1).tolist()
    return found


def padded(targets: Sequence[Sequence[int]]) -> torch.Tensor:
    """Return units side by side, `(utterances, units)`, zeros behind the shorter ones."""
    block = torch.zeros((len(targets), max(map(len, targets), default=0)), dtype=torch.long)
    for row, units in enumerate(targets):
        block[row, : len(units)] = torch.tensor(units, dtype=torch.long)
    return block


def say_strange(spoken: Spoken) -> None:
    """Say what references hold that the model cannot write: each is counted as an error."""
    strange = spoken.strange()
    if strange:
        shown = (
            "".join(sorted(strange)[:10]) if all(len(unit) == 1 for unit in strange) else ", ".join(sorted(strange)[:5])
        )
        what = "characters" if spoken.encoder.units.level == "character" else "words"
        note(
            f'{sum(strange.values()):,} {what} of the references are none of the training transcripts ("{shown}"); '
            "the model cannot write them, and each counts as an error"
        )
