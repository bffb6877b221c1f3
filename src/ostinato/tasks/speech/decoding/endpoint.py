"""When an utterance has ended, by what the model itself writes: nothing, for a while."""

from __future__ import annotations

from dataclasses import dataclass

from ostinato.errors import UsageError
from ostinato.tasks.speech.decoding.decoder import Decoder


@dataclass(frozen=True)
class EndpointRule:
    """An utterance ends where the model has written nothing but blanks for a while, or where it has become too long.

    Three rules, as Kaldi has them: after something was said, `silence` seconds without a unit; before anything was
    said, `nothing` seconds; and in any case `most` seconds.

    Args:
        silence: seconds without a unit, after the last one.
        nothing: seconds without a unit at the beginning, after which what was heard is forgotten.
        least: seconds that an utterance has at least.
        most: seconds that it has at most: memory stays bounded.

    Raises:
        UsageError: a number is not positive, or `most` is not above `least`.
    """

    silence: float = 0.6
    nothing: float = 5.0
    least: float = 0.0
    most: float = 30.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not (self.silence > 0 and self.nothing > 0 and self.least >= 0 and self.most > self.least):
            raise UsageError(
                f"an endpoint rule has silence {self.silence}, nothing {self.nothing}, least {self.least} and most "
                f"{self.most} seconds; expected numbers above 0, and most above least"
            )

    def ended(self, decoder: Decoder) -> bool:
        """Tell whether an utterance in progress has ended."""
        seconds, silent = decoder.frames * decoder.frame_seconds, decoder.trailing * decoder.frame_seconds
        if seconds >= self.most:
            return True
        said = decoder.trailing < decoder.frames
        return seconds >= self.least and silent >= (self.silence if said else self.nothing)
