"""Speech as it comes: packets of samples in, what was said so far out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ostinato.data.audio import OnlineFeatures, Pcm16
from ostinato.errors import DataError, UsageError
from ostinato.nn.front_steps import FrontSteps
from ostinato.streaming import NOTHING, Headed, Row, SoundStream, Steps, refused, shared_steps
from ostinato.tasks.speech.decoding import Transcript
from ostinato.tasks.speech.encoding import silence as silence_of
from ostinato.tasks.speech.heard import Heard, plain_transcript, plain_words, samples_of
from ostinato.tasks.speech.hearing import Hearing, SpeechModel, later
from ostinato.tasks.speech.loudness import Quiet
from ostinato.tasks.speech.reading import Reading


class _End:
    """What is pushed where the sound ends."""


_END = _End()
_RESAMPLING = 0.12  # seconds by which resampling may be late


class SpeechStream(SoundStream):
    """One stream of sound, written down while it is heard, with the words and scores of the recording as a whole.

    What is kept does not grow but for the text of the utterance in progress: the samples of a frame, the last frames
    that convolutions see, the state of each layer, that of the decoder.

    Args:
        model: a streaming one.
        rate: of the samples that come; `None`: that of the model.
        silence: seconds in which nothing is said that end an utterance; `None`: the model's.

    Raises:
        UsageError: the model needs whole recordings, or the rate is none.
    """

    kind = "speech"

    def __init__(self, model: SpeechModel, *, rate: int | None = None, silence: float | None = None) -> None:
        encoder, network = model.encoder, model.network
        if not encoder.choices.streams:
            raise UsageError(
                f"the model was fitted with {encoder.choices.hindrances}, so that it needs whole recordings; fit one "
                "with streaming=True (--streaming) to write down what is said while it is heard"
            )
        if silence is not None and not silence > 0:
            raise UsageError(f"silence is {silence}; expected seconds, more than 0")
        if model.parameters.cell == "transformer":
            raise UsageError("a transformer remembers every frame, so that a stream of it grows; fit a recurrent cell")
        self.rate = rate or encoder.settings.rate
        if not 1000 <= self.rate <= 768_000:
            raise UsageError(f"rate is {rate}; expected 1000 to 768000 samples a second")
        self._hearing = Hearing.of(model, silence=silence)
        self._tail = silence_of(encoder.choices.tail, self.rate)
        self._pcm = Pcm16()
        self._features = OnlineFeatures(replace(encoder.settings, normalisation="none"), rate=self.rate)
        self._normal, self._quiet = encoder.normaliser.begin(encoder.settings), Quiet(encoder.step)
        self._stages, self._norms = _shared(network)
        last: Any = self._stages[-1].copy
        self._front, self._read = FrontSteps(last.beside["front"]), Reading(last.beside["read"])
        self._rows = [Row(stage) for stage in self._stages]
        self._decoder = self._hearing.make()
        self._begin()
        self._warm()

    def _warm(self) -> None:
        """Have compiled what is compiled at the first step, rather than let the first packet wait for it."""
        settings = self._features.settings
        seconds = settings.frame_length / 1000 + (0.0 if self.rate == settings.rate else _RESAMPLING)
        self.push(np.zeros(math.ceil(self.rate * seconds), np.float32))
        self.reset()

    @property
    def packet(self) -> int:
        """Bytes that the command line reads at once: 20 ms."""
        return 2 * max(1, self.rate // 50)

    def reset(self) -> None:
        """Begin a new recording."""
        self._pcm.finish()
        self._features.reset()
        self._quiet.reset()
        if self._normal is not None:
            self._normal.reset()
        self._front.reset()
        for row in self._rows:
            row.restore(None)
        self._decoder.reset()
        self._begin()

    def _begin(self) -> None:
        # of each stage behind the first, the output before that waits to be read with the next
        self._waiting: list[NDArray[np.float32] | None] = [None] * (len(self._stages) - 1)
        self._phases = [0] * (len(self._stages) - 1)
        self._text, self._count = "", 0
        self._frames, self._reads, self._steps, self._began, self._samples = 0, 0, 0, 0, 0

    def steps(self, row: Any) -> Steps:
        """Take a packet in, of any size; return what it came to, a `Heard`.

        Args:
            row: bytes of 16-bit little-endian samples, or samples: integers of 16 bits, or floats in [-1, 1].

        Raises:
            StreamRowError: it is none of these; the stream is as it was.
        """
        if isinstance(row, _End):
            yield NOTHING
            frames = np.concatenate([self._features.accept(self._tail), self._features.finish()])
            heard: Heard = yield from self._listened(frames, ended=True)
            self.reset()
            return heard
        packet = row if isinstance(row, (bytes, bytearray, memoryview)) else samples_of(row)
        yield NOTHING
        samples = self._pcm.accept(bytes(packet)) if not isinstance(packet, np.ndarray) else packet
        self._samples += len(samples)
        return (yield from self._listened(self._features.accept(samples), ended=False))

    def finish(self) -> Heard:
        """Return what is left at the end of the sound, and begin a new recording."""
        heard: Heard = self.push(_END)
        return heard

    def now(self) -> Heard:
        """Return the utterance in progress."""
        best = later(self._decoder.best(), self._began * self._hearing.step)
        return Heard(best.text, False, best.words, (), self._samples / self.rate)

    def lines(self, heard: Heard) -> Iterator[dict[str, Any]]:
        """Yield what the command line prints after a packet: utterances that ended, and a text that changed."""
        for transcript in heard.ended:
            yield {"final": True, **plain_transcript(transcript)}
        if heard.changed and heard.text:
            yield {"final": False, "text": heard.text, "seconds": round(heard.seconds, 3)}

    def plain(self, answer: Heard) -> Mapping[str, Any]:
        """Return what a packet came to as plain data."""
        return {
            "text": answer.text,
            "changed": answer.changed,
            "words": plain_words(answer.words),
            "ended": [plain_transcript(transcript) for transcript in answer.ended],
            "seconds": answer.seconds,
        }

    # --- from frames to words ----------------------------------------------------------------------------------------

    def _listened(self, frames: NDArray[np.float32], *, ended: bool) -> Steps:
        if not (len(frames) or ended):
            return Heard(self._text, False, (), (), self._samples / self.rate)
        done: list[Transcript] = []
        quiet = self._quiet.accept(frames)
        normal = frames if self._normal is None else self._normal.accept(frames)
        read = [self._read(row) for row in self._front.advance(normal)]
        every, first, reads = self._front.front.reduction, self._frames, self._reads
        self._frames, self._reads = first + len(frames), reads + len(read)
        for number, x in enumerate(read, reads):
            output = yield from self._climbed(x)
            if output is not None:
                done += self._decoded(output, int(quiet[number * every - first]))
        if ended:
            done += self._closed(first=not self._count)
        best = later(self._decoder.best(), self._began * self._hearing.step) if len(read) or ended else None
        before = self._text
        self._text = before if best is None else best.text
        words = () if best is None else best.words
        return Heard(self._text, self._text != before, words, tuple(done), self._samples / self.rate)

    def _climbed(self, x: NDArray[np.float32]) -> Steps:
        """Advance the stages by a step of the first; return the output of the last, if it gives one."""
        for number, row in enumerate(self._rows):
            if number:
                pair = self._paired(number - 1, x)
                if pair is None:
                    return None
                x = pair
            x = yield row.ask(x)
        return x

    def _paired(self, place: int, x: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """Return an output with the one before it, every second time, from the first on."""
        before, phase = self._waiting[place], self._phases[place]
        self._waiting[place], self._phases[place] = x, 1 - phase
        if phase:
            return None
        both = np.concatenate([np.zeros_like(x) if before is None else before, x])
        with torch.inference_mode():
            read: NDArray[np.float32] = self._norms[place](torch.from_numpy(both)).numpy()
        return read

    def _decoded(self, output: NDArray[np.float32], quiet: int) -> list[Transcript]:
        self._decoder.advance(output[None])
        self._steps += 1
        return self._closed() if self._hearing.ended(self._decoder, quiet) else []

    def _closed(self, *, first: bool = False) -> list[Transcript]:
        """End the utterance in progress; return it, if anything was said, or in all of the recording nothing."""
        found = later(self._decoder.finish(1)[0], self._began * self._hearing.step)
        self._decoder.reset()
        self._began = self._steps
        if not (found.text or first):
            return []
        self._count += 1
        return [found]

    # --- what is kept ------------------------------------------------------------------------------------------------

    def mark(self) -> str:
        """Return what tells the model from others."""
        return "-".join(stage.mark for stage in self._stages)

    def kept(self) -> dict[str, Any]:
        """Return what the next packet is answered from."""
        return {
            "rate": self.rate,
            "pcm": self._pcm.state(),
            "features": self._features.state(),
            "normal": None if self._normal is None else self._normal.state(),
            "quiet": self._quiet.state(),
            "front": self._front.kept(),
            "states": [row.state() for row in self._rows],
            "waiting": list(self._waiting),
            "decoder": self._decoder.kept(),
            "counts": [*self._phases, self._frames, self._reads, self._steps, self._began, self._samples, self._count],
            "text": self._text,
        }

    def accept(self, kept: Mapping[str, Any]) -> None:
        """Resume from what was kept."""
        if kept.get("rate") != self.rate:
            raise refused(f"is of samples at another rate than {self.rate}")
        before = self.kept()
        try:
            self._accept(kept)
        except BaseException:
            self._accept(before)
            raise

    def _accept(self, kept: Mapping[str, Any]) -> None:
        states, waiting, counts = (_listed(kept, name) for name in ("states", "waiting", "counts"))
        widths = [self._norm_width(place) for place in range(len(self._norms))]
        if (
            len(states) != len(self._rows)
            or len(waiting) != len(widths)
            or not all(output is None or _is_row(output, width) for output, width in zip(waiting, widths, strict=True))
            or len(counts) != len(widths) + 6
            or not all(type(count) is int and count >= 0 for count in counts)
            or not all(count < 2 for count in counts[:-6])
            or not isinstance(kept.get("text"), str)
        ):
            raise refused("lacks a part, or has one of another form")
        try:
            self._pcm.restore(kept.get("pcm") or {})
            self._features.restore(kept.get("features") or {})
            if self._normal is not None:
                self._normal.restore(kept.get("normal"))
        except (DataError, AttributeError, TypeError) as error:
            raise refused(f"has sounds that do not fit ({error})") from error
        if not self._quiet.restore(kept.get("quiet")) or not self._front.accept(kept.get("front")):
            raise refused("has other frames than the convolutions see")
        for row, state in zip(self._rows, states, strict=True):
            row.restore(state)
        self._decoder.accept(kept.get("decoder"))  # type: ignore[arg-type]
        self._waiting, self._phases = waiting, counts[:-6]
        self._frames, self._reads, self._steps, self._began, self._samples, self._count = counts[-6:]
        self._text = kept["text"]

    def _norm_width(self, place: int) -> int:
        headed: Any = self._stages[place + 1].module
        return int(headed.layer.cells[0].input_size) // 2 if hasattr(headed.layer, "cells") else 0


def _shared(network: Any) -> tuple[list[Any], list[nn.Module]]:
    """Return the shared steps of each stage, and what normalises between them."""
    stages = list(network.encoder.stages)
    found = []
    for number, stage in enumerate(stages):
        last = number == len(stages) - 1

        def layer(stage: Any = stage, last: bool = last) -> nn.Module:
            if not last:
                return Headed(stage.stack, nn.Identity())
            return Headed(stage.stack, network.head, front=network.front, read=network.read)

        found.append(shared_steps(stage, layer))
    return found, [stage.norm for stage in stages[1:]]


def _listed(kept: Mapping[str, Any], name: str) -> list[Any]:
    found = kept.get(name)
    if not isinstance(found, list):
        raise refused(f"lacks {name}")
    return list(found)


def _is_row(output: Any, width: int) -> bool:
    return (
        isinstance(output, np.ndarray)
        and output.dtype == np.float32
        and output.ndim == 1
        and (not width or len(output) == width)
        and bool(np.isfinite(output).all())
    )
