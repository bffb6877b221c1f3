"""Sounds that can be read but are likely not what was meant: silent throughout, clipped throughout."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ostinato.data.notes import note
from ostinato.words import counted, verb

_SILENT = 1e-4  # the largest sample, -80 dB: a few bits of 16
_FULL, _CLIPPED = 0.999, 0.2  # of the largest sample there is; the share of samples that lie there


def is_silent(samples: NDArray[np.float32]) -> bool:
    """Tell whether samples are silence throughout: none above -80 dB."""
    return not len(samples) or float(np.abs(samples).max()) < _SILENT


def is_clipped(samples: NDArray[np.float32]) -> bool:
    """Tell whether samples are clipped throughout: a fifth and more lie at the largest value, at full scale."""
    if not len(samples):
        return False
    size = np.abs(samples)
    largest = float(size.max())
    return largest >= _FULL and float((size >= _FULL * largest).mean()) >= _CLIPPED


class SoundNotes:
    """Counts sounds that are silent or clipped throughout, and says so once for all of them."""

    def __init__(self, origin: str) -> None:
        self.origin, self.count = origin, 0
        self.silent, self.clipped = list[str](), list[str]()

    def see(self, name: str, samples: NDArray[np.float32]) -> None:
        """Look at the samples of a sound."""
        self.count += 1
        if is_silent(samples):
            self.silent.append(name)
        elif is_clipped(samples):
            self.clipped.append(name)

    def say(self) -> None:
        """Note what was seen, if there is something."""
        for names, what in ((self.silent, "silent throughout"), (self.clipped, "clipped throughout (far too loud)")):
            if names:
                said = f"{len(names):,} of {counted(self.count, 'sounds')} {verb(len(names), 'are')} {what}"
                note(
                    f'{self.origin}: {said}, the first of them "{names[0]}"; listen to them, and leave out what is '
                    "not as it should be"
                )
