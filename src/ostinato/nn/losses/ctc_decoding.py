"""From the outputs of CTC to labels: the best path, or a search over labellings with a language model and words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from ostinato.errors import UsageError
from ostinato.nn.losses.hypotheses import Hypothesis, LanguageModel, log_add
from ostinato.nn.losses.masking import check_steps, checked_lengths, real_steps

_NEVER = -math.inf


def ctc_greedy(logits: Tensor, lengths: Tensor | None = None, *, blank: int = 0) -> list[list[int]]:
    """Return each row's labels by the most probable path: repeats merged, blanks dropped.

    Args:
        logits: `(time, batch, classes)`, unnormalised or not.
        lengths: `(batch,)`; `None` if all steps are real.
        blank: the class that stands for no label.

    Raises:
        ShapeError: shapes do not fit each other.

    Source: A. Graves et al., "Connectionist temporal classification", 2006, section 3.2, best path decoding.

    >>> import torch
    >>> path = torch.tensor([1, 1, 0, 1, 2, 2])
    >>> ctc_greedy(torch.nn.functional.one_hot(path, 3)[:, None].float())
    [[1, 1, 2]]
    """
    check_steps(logits, 3, "(time, batch, classes)", "logits")
    steps, batch, _ = logits.shape
    real = real_steps(checked_lengths(lengths, steps, batch, logits.device), steps)
    path = logits.argmax(-1)
    kept = real & (path != blank)
    kept[1:] &= path[1:] != path[:-1]
    return [path[kept[:, row], row].tolist() for row in range(batch)]


class WordList:
    """The words a beam search may write, as labels: a tree of their beginnings.

    Args:
        words: each a sequence of labels.
        separator: the label between two words, such as that of the space.

    Raises:
        UsageError: a word is empty or contains the separator.

    >>> words = WordList([[1, 2], [1, 2, 3]], separator=9)
    >>> node = words.step(words.step(words.start, 1), 2)
    >>> words.ends(node), words.step(node, 3) is None, words.step(node, 9) == words.start
    (True, False, True)
    """

    start = 0

    def __init__(self, words: Iterable[Sequence[int]], separator: int) -> None:
        self.separator = separator
        self._children: list[dict[int, int]] = [{}]
        self._ends: set[int] = set()
        for word in words:
            self._add(word)

    def step(self, node: int, label: int) -> int | None:
        """Return the place in the tree after `label`, or `None` if no word continues so."""
        if label == self.separator:
            return self.start if node in self._ends else None
        return self._children[node].get(label)

    def ends(self, node: int) -> bool:
        """Return whether a text may end here: after a whole word, after a separator, or before any word."""
        return node == self.start or node in self._ends

    def _add(self, word: Sequence[int]) -> None:
        if not word or self.separator in word:
            raise UsageError(f"word {list(word)} is empty or contains the separator, {self.separator}")
        node = self.start
        for label in word:
            if label not in self._children[node]:
                self._children[node][label] = len(self._children)
                self._children.append({})
            node = self._children[node][label]
        self._ends.add(node)


def ctc_beam_search(
    logits: Tensor,
    lengths: Tensor | None = None,
    *,
    blank: int = 0,
    beam_size: int = 16,
    language_model: LanguageModel | None = None,
    language_weight: float = 1.0,
    label_bonus: float = 0.0,
    words: WordList | None = None,
    least_probability: float = 0.0,
) -> list[list[Hypothesis]]:
    """Return each row's best labellings, best first, by prefix beam search.

    Each prefix keeps the probability of all its paths, those that end in a blank apart from those that do not; a wide
    enough beam is exact. The score is that, plus `language_weight` times the language model's logarithms, plus
    `label_bonus` for each label.

    Args:
        logits: `(time, batch, classes)`, unnormalised.
        lengths: `(batch,)`; `None` if all steps are real.
        blank: the class that stands for no label.
        beam_size: how many prefixes are kept after each step.
        language_model: called with the labels so far and the next one (`None` at the end), returns a logarithm of a
            probability. A model of words may return 0 but at separators and at the end.
        language_weight: alpha in the paper.
        label_bonus: against the wish of a language model for short texts.
        words: only texts of these words are written; a row where none fits into the beam has no hypotheses.
        least_probability: labels less probable than this at a step are not tried there; 0 tries all.

    Raises:
        ShapeError: shapes do not fit each other.
        UsageError: `beam_size` is below 1.

    Source: A. Hannun et al., "First-pass large vocabulary continuous speech recognition using bi-directional recurrent
    DNNs", 2014, algorithm 1 (the language model is kept apart from the paths, so that merged prefixes have it once).

    >>> import torch
    >>> logits = torch.tensor([[0.6, 0.4], [0.6, 0.4]]).log()[:, None]
    >>> best = ctc_beam_search(logits)[0][0]
    >>> best.labels, round(math.exp(best.score), 2)  # the best path alone would say nothing, 0.36
    ((1,), 0.64)
    """
    if beam_size < 1:
        raise UsageError(f"beam_size is {beam_size}; expected 1 or more")
    check_steps(logits, 3, "(time, batch, classes)", "logits")
    steps, batch, _ = logits.shape
    lengths = checked_lengths(lengths, steps, batch, logits.device)
    search = _Search(blank, beam_size, language_model, language_weight, label_bonus, words, least_probability)
    with torch.no_grad():
        scores = functional.log_softmax(logits.double(), -1).cpu()
    return [search.run(scores[: int(length), row].tolist()) for row, length in enumerate(lengths)]


@dataclass
class _Prefix:
    """What is known of a prefix: its paths' probabilities, and what does not depend on them."""

    language: float  # the language model's share of the score and the bonus
    node: int  # the place in the tree of words
    in_blank: float = _NEVER
    in_label: float = _NEVER
    next_in_blank: float = field(default=_NEVER, repr=False)
    next_in_label: float = field(default=_NEVER, repr=False)

    @property
    def total(self) -> float:
        return log_add(self.in_blank, self.in_label)

    def advance(self) -> None:
        self.in_blank, self.in_label = self.next_in_blank, self.next_in_label
        self.next_in_blank = self.next_in_label = _NEVER


_Beam = dict[tuple[int, ...], _Prefix]


@dataclass(frozen=True)
class _Search:
    blank: int
    beam_size: int
    language_model: LanguageModel | None
    language_weight: float
    label_bonus: float
    words: WordList | None
    least_probability: float

    def run(self, scores: list[list[float]]) -> list[Hypothesis]:
        beam: _Beam = {(): _Prefix(0.0, WordList.start, in_blank=0.0)}
        for step in scores:
            beam = self._kept(self._grown(beam, step))
        ends = ((labels, known) for labels, known in beam.items() if not self.words or self.words.ends(known.node))
        found = [Hypothesis(labels, known.total + known.language + self._ask(labels, None)) for labels, known in ends]
        return sorted(found, key=lambda hypothesis: -hypothesis.score)

    def _grown(self, beam: _Beam, scores: list[float]) -> _Beam:
        """Return the beam one step on: each prefix as it is and with each label more."""
        least = math.log(self.least_probability) if self.least_probability > 0 else _NEVER
        tried = [(c, score) for c, score in enumerate(scores) if c != self.blank and score > _NEVER and score >= least]
        grown = dict(beam)
        for labels, known in beam.items():
            total = known.total
            known.next_in_blank = log_add(known.next_in_blank, total + scores[self.blank])
            if labels:
                known.next_in_label = log_add(known.next_in_label, known.in_label + scores[labels[-1]])
            for label, score in tried:
                # after the same label a path must have come through a blank, or the two would be one
                before = known.in_blank if labels and labels[-1] == label else total
                if before > _NEVER:
                    self._extend(grown, labels, known, label, before + score)
        return grown

    def _extend(self, grown: _Beam, labels: tuple[int, ...], known: _Prefix, label: int, score: float) -> None:
        longer = (*labels, label)
        if longer not in grown:
            node = self.words.step(known.node, label) if self.words else WordList.start
            if node is None:
                return
            grown[longer] = _Prefix(known.language + self.label_bonus + self._ask(labels, label), node)
        grown[longer].next_in_label = log_add(grown[longer].next_in_label, score)

    def _kept(self, grown: _Beam) -> _Beam:
        for known in grown.values():
            known.advance()
        alive = [item for item in grown.items() if item[1].total > _NEVER]
        alive.sort(key=lambda item: -(item[1].total + item[1].language))
        return dict(alive[: self.beam_size])

    def _ask(self, labels: tuple[int, ...], label: int | None) -> float:
        return self.language_weight * self.language_model(labels, label) if self.language_model else 0.0
