"""Losses of sequences, each over the real steps only. Those of distributions are with `ostinato.nn.heads`."""

from ostinato.nn.losses.crf import LinearChainCRF, forbidden_transitions
from ostinato.nn.losses.ctc import ctc_align, ctc_beam_search, ctc_greedy, ctc_loss
from ostinato.nn.losses.hazard import brier_score, concordance, hazard_loss, survival_curve
from ostinato.nn.losses.sequence import (
    activation_penalty,
    bits_per_step,
    class_weights,
    cross_entropy,
    frame_cross_entropy,
    perplexity,
    quantile_loss,
    slowness_penalty,
    squared_error,
)
from ostinato.nn.losses.transducer import Joint, transducer_greedy, transducer_loss

__all__ = [
    "Joint",
    "LinearChainCRF",
    "activation_penalty",
    "bits_per_step",
    "brier_score",
    "class_weights",
    "concordance",
    "cross_entropy",
    "ctc_align",
    "ctc_beam_search",
    "ctc_greedy",
    "ctc_loss",
    "forbidden_transitions",
    "frame_cross_entropy",
    "hazard_loss",
    "perplexity",
    "quantile_loss",
    "slowness_penalty",
    "squared_error",
    "survival_curve",
    "transducer_greedy",
    "transducer_loss",
]
