"""What helps a recogniser to write: a model of language, a word list, words to be preferred; from its parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from ostinato.errors import DataError, UsageError
from ostinato.nn.losses import CombinedScorer, Scorer
from ostinato.tasks.speech.decoding.arpa import read_arpa
from ostinato.tasks.speech.decoding.decoder import Decoder
from ostinato.tasks.speech.decoding.fusion import Fusion, find_fusion, fused
from ostinato.tasks.speech.decoding.language import ModelScorer, TokenScorer
from ostinato.tasks.speech.decoding.ngram import NGramScorer
from ostinato.tasks.speech.decoding.spelling import Spelling
from ostinato.tasks.speech.decoding.words import HotWords, Lexicon

NGRAMS = "ngrams"
_UNKNOWN_WEIGHT = 0.3
"""The weight of a language model where nothing was held out to find it on."""


class AidParameters(Protocol):
    """The parameters that say what helps."""

    language_model: str | None
    language_weight: float | None
    words: str | None
    hot_words: Sequence[str]
    hot_bonus: float


@dataclass(frozen=True)
class Aids:
    """What was fitted beside the network.

    Args:
        ngrams: of the training transcripts, where the language model is to be these.
        fusion: the weight of the language model and the bonus for each unit.
        language_model: the one that the weight was found for.
    """

    ngrams: NGramScorer | None = None
    fusion: Fusion = field(default_factory=Fusion)
    language_model: str | None = None

    @classmethod
    def fit(cls, parameters: AidParameters, texts: Sequence[str], units: Spelling) -> Aids:
        """Count the n-grams of transcripts, if they are asked for; read all else that is, before anything is trained.

        Raises:
            DataError: the texts hold no unit, or a file is missing or wrong.
            UsageError: a word cannot be written with the units.
        """
        wanted = parameters.language_model == NGRAMS
        found = cls(NGramScorer.fit(texts, units) if wanted else None, language_model=parameters.language_model)
        found.scorer(parameters, units)
        return found

    def language(self, parameters: AidParameters, units: Spelling) -> Scorer | None:
        """Return the language model as a scorer, `None` without one.

        Raises:
            DataError: there is no such file, or it is no language model.
            UsageError: n-grams are asked for that were not counted.
        """
        language_model = parameters.language_model
        if language_model is None or language_model == "none":
            return None
        if language_model != NGRAMS:
            return _read(language_model, units)
        if self.ngrams is None:
            raise UsageError(
                f'language_model is "{NGRAMS}", but this model was fitted without them; fit it with '
                f'language_model="{NGRAMS}", or name the folder of a language model'
            )
        return self.ngrams

    def calibrated(
        self,
        parameters: AidParameters,
        units: Spelling,
        frames: Sequence[NDArray[Any]],
        references: Sequence[str],
        make: Callable[[CombinedScorer], Decoder],
    ) -> Aids:
        """Return these with the weight of the language model, found on held-out utterances; see `find_fusion`."""
        scorer = self.language(parameters, units)
        if scorer is None or parameters.language_weight is not None or not len(frames):
            return self
        others = [(word, 1.0) for word in _words(parameters, units)]
        found = find_fusion(frames, references, make, scorer, units, others=others)
        return Aids(self.ngrams, found, parameters.language_model)

    def scorer(self, parameters: AidParameters, units: Spelling) -> CombinedScorer | None:
        """Return all that helps as one, `None` if nothing does.

        Raises:
            DataError: a file is missing or wrong.
            UsageError: a word cannot be written.
        """
        language, weight, bonus = self.language(parameters, units), parameters.language_weight, 0.0
        if weight is None and self.fusion.errors is not None and self.language_model == parameters.language_model:
            weight, bonus = self.fusion.weight, self.fusion.bonus
        parts: list[tuple[Scorer, float]] = [(word, 1.0) for word in _words(parameters, units)]
        if language is not None:
            parts.append((language, _UNKNOWN_WEIGHT if weight is None else weight))
        return fused(units, parts, bonus)


def _words(parameters: AidParameters, units: Spelling) -> list[Scorer]:
    found: list[Scorer] = []
    if parameters.words is not None:
        found.append(Lexicon(read_words(parameters.words), units))
    if parameters.hot_words:
        found.append(HotWords(list(parameters.hot_words), units, parameters.hot_bonus))
    return found


def read_words(path: str | Path) -> list[str]:
    """Return the words of a file, one a line; what follows a tab, such as a pronunciation, is left out.

    Raises:
        DataError: the file is missing, is no text, or has no word.
    """
    file = Path(path)
    if not file.is_file():
        raise DataError(f"{file} does not exist; expected a file of words, one a line")
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is no text in UTF-8 ({error.reason}); expected words, one a line") from error
    found = [word for line in lines if (word := line.split("\t")[0].strip())]
    if not found:
        raise DataError(f"{file} has no words; expected one a line")
    return found


def _read(path: str, units: Spelling) -> Scorer:
    file = Path(path)
    if file.is_dir():
        return ModelScorer(_estimator(path), units)
    if not file.is_file():
        raise DataError(
            f'language_model is "{path}", but there is no such folder or file; expected "{NGRAMS}", the folder of a '
            "fitted language model, or an ARPA file"
        )
    return TokenScorer(_ngrams(path, file.stat().st_mtime_ns), units)


@lru_cache(maxsize=2)
def _ngrams(path: str, _: int) -> Any:
    return read_arpa(path)


@lru_cache(maxsize=2)
def _estimator(path: str) -> Any:
    from ostinato.tasks.base.registry import load

    return load(path)
