"""Translating what was held out, and judging it beside baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ostinato.nn.losses import perplexity
from ostinato.tasks.translate.corpus import encode_pairs
from ostinato.tasks.translate.dictionary import by_dictionary
from ostinato.tasks.translate.evaluation import TranslationScores, corpus_scores, import_metrics, reference_loss
from ostinato.tasks.translate.pairs import Pair
from ostinato.tasks.translate.search import Search
from ostinato.tasks.translate.translating import Languages, translate_texts

BASELINES = ("word for word, IBM model 1", "the source as it is")


@dataclass(frozen=True)
class Judged:
    """Scores, and the pairs with their translations."""

    scores: TranslationScores
    pairs: Sequence[Pair]
    translations: Sequence[str]


def judge(
    languages: Languages,
    pairs: Sequence[Pair],
    dictionary: Mapping[str, str],
    search: Search,
    protocol: str,
    *,
    tokenize: str | None = "13a",
) -> Judged:
    """Translate the sources of pairs and hold the translations against the references.

    Args:
        languages: the model.
        pairs: sources and references.
        dictionary: for the word-for-word baseline.
        search: how translations are searched for.
        protocol: what the pairs are, in words.
        tokenize: see `corpus_scores`; `None`: count neither BLEU nor chrF.

    Raises:
        DataError: there are no pairs.
        MissingExtra: sacrebleu is not installed.
    """
    if tokenize is not None:
        import_metrics()  # before the work
    loss = reference_loss(languages.network, encode_pairs(pairs, languages.source, languages.target))
    likelihood = {"loss": loss, "perplexity": perplexity(loss)}
    sources = [source for source, _ in pairs]
    found = [own[0].text for own in translate_texts(languages, sources, search)]
    if tokenize is None:
        return Judged(TranslationScores(protocol, len(pairs), "", {"model": likelihood}), pairs, found)
    baselines = ([by_dictionary(source, dictionary) for source in sources], sources)
    answers = {"model": found, **dict(zip(BASELINES, baselines, strict=True))}
    lower = _is_lower(languages.target)
    scores, signature = corpus_scores(answers, [reference for _, reference in pairs], lower=lower, tokenize=tokenize)
    scores["model"] |= likelihood
    how = f"beam of {search.beam_size}" if search.beam_size > 1 else "greedy"
    return Judged(TranslationScores(f"{protocol}; {how}", len(pairs), signature, scores), pairs, found)


def _is_lower(vocabulary: Any) -> bool:
    return bool(vocabulary.lower)
