"""From the outputs of CTC to labels: the best path, or a search over labellings with a language model and words."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from ostinato.nn.losses.ctc_beam import CtcBeam
from ostinato.nn.losses.hypotheses import Hypothesis, LanguageModel, Scorer
from ostinato.nn.losses.masking import check_steps, checked_lengths, real_steps
from ostinato.nn.losses.scorers import AskedScorer, CombinedScorer, WordList, WordScorer


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
    margin: float = math.inf,
    scorer: Scorer | None = None,
) -> list[list[Hypothesis]]:
    """Return each row's best labellings, best first, by prefix beam search; `CtcBeam` does the same frame by frame.

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
        margin: prefixes that score worse than the best by more than this, in nats, are not kept.
        scorer: more that is added to the score, see `Scorer`.

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
    check_steps(logits, 3, "(time, batch, classes)", "logits")
    steps, batch, classes = logits.shape
    lengths = checked_lengths(lengths, steps, batch, logits.device)
    parts: list[tuple[Scorer, float]] = [] if scorer is None else [(scorer, 1.0)]
    if language_model is not None:
        parts.append((AskedScorer(language_model, classes), language_weight))
    if words is not None:
        parts.append((WordScorer(words, classes), 1.0))
    together = CombinedScorer(classes, tuple(parts), label_bonus) if parts or label_bonus else None
    search = CtcBeam(
        classes, blank=blank, beam_size=beam_size, scorer=together, least_probability=least_probability, margin=margin
    )
    with torch.no_grad():
        scores = functional.log_softmax(logits.double(), -1).cpu().numpy()
    found = []
    for row, length in enumerate(lengths.tolist()):
        search.reset()
        search.advance(scores[:length, row])
        found.append(search.hypotheses())
    return found
