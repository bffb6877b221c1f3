"""How good translations are: BLEU and chrF beside simple baselines, and the likelihood of the references."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ostinato.errors import DataError, MissingExtra
from ostinato.tasks.base.summary import Better
from ostinato.tasks.translate.batches import TranslationBatches
from ostinato.tasks.translate.corpus import Encoded
from ostinato.tasks.translate.network import TranslationNetwork

_TOKENS = 4096
BETTER: Mapping[str, Better] = {"BLEU": "higher", "chrF": "higher", "perplexity": "lower", "loss": "lower"}


@dataclass(frozen=True)
class TranslationScores:
    """BLEU and chrF of the model and of its baselines; the model's loss and perplexity of the references' tokens."""

    protocol: str
    pairs: int
    signature: str
    """Of BLEU and of chrF, as sacrebleu writes them: what was counted and how."""
    scores: Mapping[str, Mapping[str, float]]
    """`scores["model"]["BLEU"]`; the other names are baselines."""

    @property
    def bleu(self) -> float:
        """Of the model, 0 to 100; NaN if it was not counted."""
        return self.scores["model"].get("BLEU", math.nan)

    @property
    def chrf(self) -> float:
        """Of the model, 0 to 100; NaN if it was not counted."""
        return self.scores["model"].get("chrF", math.nan)

    @property
    def perplexity(self) -> float:
        """Of the model, a token."""
        return self.scores["model"]["perplexity"]

    def plain(self) -> dict[str, Any]:
        """Return the scores as plain data."""
        return {"protocol": self.protocol, "pairs": self.pairs, "signature": self.signature, "scores": self.scores}

    def __str__(self) -> str:
        lines = [f"{self.protocol}; {self.pairs:,} pairs", "", f"{'':>24} {'BLEU':>7} {'chrF':>7} {'perplexity':>11}"]
        for name, own in self.scores.items():
            cells = (_cell(own, "BLEU", 7), _cell(own, "chrF", 7), _cell(own, "perplexity", 11))
            lines.append(f"{name:>24} {' '.join(cells)}")
        return "\n".join([*lines, "", self.signature])


def _cell(own: Mapping[str, float], measure: str, width: int) -> str:
    return f"{own[measure]:{width}.2f}" if measure in own else " " * width


def reference_loss(network: TranslationNetwork, pairs: Encoded) -> float:
    """Return the mean negative log-likelihood of a reference's token, its end counted, in nats.

    Raises:
        DataError: there are no pairs.
    """
    if not len(pairs):
        raise DataError("there are no pairs to evaluate on; expected one or more with a translation")
    total, count = 0.0, 0
    with torch.inference_mode():
        for batch in TranslationBatches(pairs, batch_tokens=_TOKENS, shuffle=False).batches(0):
            loss, tokens = network(*batch.data)
            total, count = total + float(loss) * tokens, count + tokens
    return total / count


def corpus_scores(
    answers: Mapping[str, Sequence[str]], references: Sequence[str], *, lower: bool, tokenize: str
) -> tuple[dict[str, dict[str, float]], str]:
    """Return BLEU and chrF of several lists of translations, and the signatures of both.

    Args:
        answers: translations by the name of what gave them.
        references: one for each.
        lower: whether letter case does not count.
        tokenize: how sacrebleu parts words for BLEU: `"13a"`, `"intl"`, `"zh"`, `"ja-mecab"`, `"char"`, ...

    Raises:
        MissingExtra: sacrebleu is not installed.

    Sources: K. Papineni et al., "BLEU", ACL 2002; M. Popović, "chrF", WMT 2015; M. Post, "A call for clarity in
    reporting BLEU scores", WMT 2018.
    """
    metrics = import_metrics()
    bleu = metrics.BLEU(lowercase=lower, tokenize=tokenize, force=True)  # no advice on stderr
    chrf = metrics.CHRF(lowercase=lower)
    scores = {}
    for name, texts in answers.items():
        counted = {
            "BLEU": bleu.corpus_score(list(texts), [list(references)]).score,
            "chrF": chrf.corpus_score(list(texts), [list(references)]).score,
        }
        scores[name] = {measure: float(value) for measure, value in counted.items()}
    return scores, f"BLEU {bleu.get_signature()}; chrF {chrf.get_signature()}"


def import_metrics() -> Any:
    """Return `sacrebleu.metrics`.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        from sacrebleu import metrics
    except ImportError as error:
        raise MissingExtra("BLEU and chrF need the extra translate: pip install 'ostinato[translate]'") from error
    return metrics
