"""How a recurrent transducer writes: frame by frame, the most likely label each time, or by a beam."""

from __future__ import annotations

import torch
from torch import Tensor

from ostinato.engine.front.state import map_state
from ostinato.errors import UsageError
from ostinato.nn.losses.hypotheses import Hypothesis, Scorer
from ostinato.nn.losses.masking import check_steps, checked_lengths, real_steps
from ostinato.nn.losses.transducer_beam import TorchReader, TransducerBeam
from ostinato.nn.losses.transducer_parts import TransducerJoint, TransducerPredictor


class GreedyTransducer:
    """Writes the most likely label, again and again, as frames come in: for streams, with constant memory.

    Args:
        predictor: reads the labels so far.
        joint: says what comes next.
        batch: how many streams run side by side.
        blank: the class that moves to the next frame.
        max_symbols: at most so many labels a frame.

    Raises:
        UsageError: `max_symbols` is below 1.

    Source: Graves, 2012, section 2.6, with a beam of one and no merging.

    >>> import torch
    >>> from ostinato.cells import LSTMCell
    >>> predictor, joint = TransducerPredictor(5, 4, lambda size: LSTMCell(size, 3)), TransducerJoint(6, 3, 8, 5)
    >>> decoder = GreedyTransducer(predictor, joint, batch=2)
    >>> new_labels = decoder.push(torch.randn(2, 6))  # one frame: a list of labels for each stream
    >>> len(new_labels)
    2
    """

    def __init__(
        self,
        predictor: TransducerPredictor,
        joint: TransducerJoint,
        batch: int = 1,
        *,
        blank: int = 0,
        max_symbols: int = 10,
    ) -> None:
        _check_symbols(max_symbols)
        self.predictor, self.joint, self.batch = predictor, joint, batch
        self.blank, self.max_symbols = blank, max_symbols
        self.reset()

    def reset(self) -> None:
        """Forget all labels."""
        with torch.no_grad():
            self._predicted, self._state = self.predictor.start(self.batch)

    def push(self, frame: Tensor, active: Tensor | None = None) -> list[list[int]]:
        """Take one frame of the encoder a stream, `(batch, encoder features)`, and return each stream's new labels.

        Args:
            frame: what stands in rows that are not active is not read.
            active: `(batch,)` booleans, the streams that have a frame; `None` if all have.

        Raises:
            ShapeError: the frame does not have one row a stream.
        """
        check_steps(frame, 2, "(batch, encoder features)", "frame")
        writing = torch.ones(self.batch, dtype=torch.bool, device=frame.device) if active is None else active
        written: list[list[int]] = [[] for _ in range(self.batch)]
        with torch.no_grad():
            for _ in range(self.max_symbols):
                labels = self.joint.step(frame, self._predicted).argmax(-1)
                writing = writing & (labels != self.blank)
                if not bool(writing.any()):
                    break
                self._write(labels, writing)
                for row in writing.nonzero()[:, 0].tolist():
                    written[row].append(int(labels[row]))
        return written

    def _write(self, labels: Tensor, writing: Tensor) -> None:
        """Advance the predictor of the rows that write; the others stay as they are."""
        predicted, state = self.predictor.step(labels.masked_fill(~writing, 0), self._state)

        def chosen(new: Tensor, old: Tensor) -> Tensor:
            return torch.where(writing.reshape(-1, *[1] * (new.dim() - 1)), new, old)

        self._predicted = chosen(predicted, self._predicted)
        self._state = tuple(map_state(chosen, new, old) for new, old in zip(state, self._state, strict=True))


def transducer_greedy(
    predictor: TransducerPredictor,
    joint: TransducerJoint,
    encoded: Tensor,
    lengths: Tensor | None = None,
    *,
    blank: int = 0,
    max_symbols: int = 10,
) -> list[list[int]]:
    """Return each row's labels by `GreedyTransducer`, for whole sequences `(time, batch, encoder features)`.

    Args:
        predictor: reads the labels so far.
        joint: says what comes next.
        encoded: `(time, batch, encoder features)`.
        lengths: `(batch,)`; `None` if all steps are real.
        blank: the class that moves to the next frame.
        max_symbols: at most so many labels a frame.

    Raises:
        ShapeError: shapes do not fit each other.
        UsageError: `max_symbols` is below 1.

    Source: Graves, 2012, section 2.6.

    >>> import torch
    >>> from ostinato.cells import LSTMCell
    >>> predictor, joint = TransducerPredictor(5, 4, lambda size: LSTMCell(size, 3)), TransducerJoint(6, 3, 8, 5)
    >>> len(transducer_greedy(predictor, joint, torch.randn(7, 2, 6)))
    2
    """
    check_steps(encoded, 3, "(time, batch, encoder features)", "encoded")
    steps, batch, _ = encoded.shape
    real = real_steps(checked_lengths(lengths, steps, batch, encoded.device), steps)
    decoder = GreedyTransducer(predictor, joint, batch, blank=blank, max_symbols=max_symbols)
    found: list[list[int]] = [[] for _ in range(batch)]
    for frame, active in zip(encoded, real, strict=True):
        for labels, new in zip(found, decoder.push(frame, active), strict=True):
            labels += new
    return found


def transducer_beam_search(
    predictor: TransducerPredictor,
    joint: TransducerJoint,
    encoded: Tensor,
    lengths: Tensor | None = None,
    *,
    blank: int = 0,
    beam_size: int = 8,
    max_symbols: int = 3,
    scorer: Scorer | None = None,
) -> list[list[Hypothesis]]:
    """Return each row's best labellings, best first, by `TransducerBeam`, for whole sequences.

    A wide enough beam is exact but for paths with more than `max_symbols` labels at one frame.

    Args:
        predictor: reads the labels so far.
        joint: says what comes next.
        encoded: `(time, batch, encoder features)`.
        lengths: `(batch,)`; `None` if all steps are real.
        blank: the class that moves to the next frame.
        beam_size: how many labellings are kept after each frame.
        max_symbols: at most so many labels a frame.
        scorer: what is added to the score, see `Scorer`.

    Raises:
        ShapeError: shapes do not fit each other.
        UsageError: `beam_size` or `max_symbols` is below 1.

    Source: Graves, 2012, section 2.6, with labels of a frame tried in rounds, all hypotheses at once.

    >>> import torch
    >>> from ostinato.cells import LSTMCell
    >>> predictor, joint = TransducerPredictor(5, 4, lambda size: LSTMCell(size, 3)), TransducerJoint(6, 3, 8, 5)
    >>> [len(row) for row in transducer_beam_search(predictor, joint, torch.randn(7, 2, 6), beam_size=4)]
    [4, 4]
    """
    _check_symbols(max_symbols)
    if beam_size < 1:
        raise UsageError(f"beam_size is {beam_size}; expected 1 or more")
    check_steps(encoded, 3, "(time, batch, encoder features)", "encoded")
    steps, batch, _ = encoded.shape
    lengths = checked_lengths(lengths, steps, batch, encoded.device)
    rows = encoded.detach().cpu().numpy()
    search = TransducerBeam(
        TorchReader(predictor), joint, blank=blank, beam_size=beam_size, max_symbols=max_symbols, scorer=scorer
    )
    found = []
    for row, length in enumerate(lengths.tolist()):
        search.reset()
        search.advance(rows[:length, row])
        found.append(search.hypotheses())
    return found


def _check_symbols(max_symbols: int) -> None:
    if max_symbols < 1:
        raise UsageError(f"max_symbols is {max_symbols}; expected 1 or more")
