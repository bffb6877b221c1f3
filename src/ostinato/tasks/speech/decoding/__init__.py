"""From what a network says to transcripts: searches, language models, word lists, endpoints.

- `spelling`, `transcript`: units as texts; words with times and confidences.
- `decoder`, `reader`: an utterance in progress, for CTC and transducers, greedy or by a beam.
- `ngram`, `arpa`, `language`, `words`: scorers; `fusion`: several together, with weights found on held-out utterances.
- `aids`: what of these a model's parameters ask for.
- `endpoint`: when an utterance has ended.
"""

from ostinato.tasks.speech.decoding.aids import NGRAMS, Aids
from ostinato.tasks.speech.decoding.arpa import ArpaModel, read_arpa
from ostinato.tasks.speech.decoding.decoder import Decoder, ctc_decoder, transducer_decoder
from ostinato.tasks.speech.decoding.endpoint import EndpointRule
from ostinato.tasks.speech.decoding.fusion import Fusion, find_fusion, fused
from ostinato.tasks.speech.decoding.language import ModelScorer, TokenScorer
from ostinato.tasks.speech.decoding.ngram import NGramScorer
from ostinato.tasks.speech.decoding.spelling import Spelling, word_spans
from ostinato.tasks.speech.decoding.transcript import Transcript, Word, transcribed
from ostinato.tasks.speech.decoding.words import HotWords, Lexicon

__all__ = [
    "NGRAMS",
    "Aids",
    "ArpaModel",
    "Decoder",
    "EndpointRule",
    "Fusion",
    "HotWords",
    "Lexicon",
    "ModelScorer",
    "NGramScorer",
    "Spelling",
    "TokenScorer",
    "Transcript",
    "Word",
    "ctc_decoder",
    "find_fusion",
    "fused",
    "read_arpa",
    "transcribed",
    "transducer_decoder",
    "word_spans",
]
