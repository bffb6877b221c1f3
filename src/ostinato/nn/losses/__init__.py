"""Losses of padded sequences: one file a family.

- `output`: a class of many, the output layer and its loss in one.
- `sequence`: a class, a value or a frame at each step; `weights`: classes of unequal size; `language`: perplexity, AR.
- `ctc`, `ctc_decoding`, `ctc_path`, `ctc_beam`: labels that nobody aligned.
- `transducer`, `transducer_joint`, `transducer_parts`, `transducer_decoding`, `transducer_beam`: such labels, where
  each hears those before it.
- `hypotheses`, `scorers`: what beam searches of both go by.
- `crf`, `crf_constraints`, `crf_partition`: tags judged together.
- `hazard`: the time to an event, some rows censored; `survival`: its metrics.

Shapes are `(time, batch, ...)`, `lengths` is `(batch,)`, and padding changes nothing.
"""

from ostinato.nn.losses.crf import LinearChainCRF
from ostinato.nn.losses.crf_constraints import TagConstraints, tag_constraints
from ostinato.nn.losses.ctc import Alignment, ctc_align, ctc_loss
from ostinato.nn.losses.ctc_beam import CtcBeam
from ostinato.nn.losses.ctc_decoding import ctc_beam_search, ctc_greedy
from ostinato.nn.losses.ctc_path import CtcGreedy
from ostinato.nn.losses.hazard import deephit_loss, deephit_survival, discretise, hazard_loss, survival_curve
from ostinato.nn.losses.hypotheses import Emission, Hypothesis, LanguageModel, Scorer
from ostinato.nn.losses.language import (
    activation_regularisation,
    bits_per_character,
    perplexity,
    temporal_activation_regularisation,
)
from ostinato.nn.losses.output import linear_cross_entropy
from ostinato.nn.losses.scorers import CombinedScorer, WordList, WordScorer
from ostinato.nn.losses.sequence import binary_cross_entropy, cross_entropy, quantile_loss, squared_error
from ostinato.nn.losses.survival import brier_scores, concordance_index, integrated_brier_score, kaplan_meier
from ostinato.nn.losses.transducer import transducer_loss
from ostinato.nn.losses.transducer_beam import LabelReader, TorchReader, TransducerBeam
from ostinato.nn.losses.transducer_decoding import GreedyTransducer, transducer_beam_search, transducer_greedy
from ostinato.nn.losses.transducer_joint import transducer_joint_loss
from ostinato.nn.losses.transducer_parts import TransducerJoint, TransducerPredictor
from ostinato.nn.losses.weights import binary_focal_loss, class_weights, focal_loss

__all__ = [
    "Alignment",
    "CombinedScorer",
    "CtcBeam",
    "CtcGreedy",
    "Emission",
    "GreedyTransducer",
    "Hypothesis",
    "LabelReader",
    "LanguageModel",
    "LinearChainCRF",
    "Scorer",
    "TagConstraints",
    "TorchReader",
    "TransducerBeam",
    "TransducerJoint",
    "TransducerPredictor",
    "WordList",
    "WordScorer",
    "activation_regularisation",
    "binary_cross_entropy",
    "binary_focal_loss",
    "bits_per_character",
    "brier_scores",
    "class_weights",
    "concordance_index",
    "cross_entropy",
    "ctc_align",
    "ctc_beam_search",
    "ctc_greedy",
    "ctc_loss",
    "deephit_loss",
    "deephit_survival",
    "discretise",
    "focal_loss",
    "hazard_loss",
    "integrated_brier_score",
    "kaplan_meier",
    "linear_cross_entropy",
    "perplexity",
    "quantile_loss",
    "squared_error",
    "survival_curve",
    "tag_constraints",
    "temporal_activation_regularisation",
    "transducer_beam_search",
    "transducer_greedy",
    "transducer_joint_loss",
    "transducer_loss",
]
