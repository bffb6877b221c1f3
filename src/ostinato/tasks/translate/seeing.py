"""What there is to see of a fitted translator: its summary, samples, and where its attention looked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ostinato.tasks.base.summary import Matrix, Panel, Summary, Table, history_rows, in_words, whole_seconds
from ostinato.tasks.translate.corpus import Corpus, Level
from ostinato.tasks.translate.diagnostics import gradient_flow
from ostinato.tasks.translate.evaluation import BETTER
from ostinato.tasks.translate.scoring import BASELINES, Judged
from ostinato.tasks.translate.search import Search
from ostinato.tasks.translate.spelling import token_names
from ostinato.tasks.translate.translating import Languages, translate_texts
from ostinato.training import History

_SAMPLES, _MATRICES, _LONGEST = 8, 3, 30


def summarise(
    parameters: Mapping[str, Any],
    languages: Languages,
    corpus: Corpus,
    history: History,
    judged: Judged | None,
    seconds: float,
) -> Summary:
    """Return the summary of a fit."""
    scores = judged.scores.scores if judged else {}
    measures = dict.fromkeys(measure for own in scores.values() for measure in own)
    return Summary(
        title=f"Translation of {dict(corpus.facts)['source']}",
        task="translator",
        settings=in_words(parameters),
        parameters=sum(own.numel() for own in languages.network.parameters()),
        seconds=whole_seconds(seconds, history),
        data=corpus.facts,
        history=history_rows(history),
        best_epoch=history.best_epoch,
        stopped=history.stopped,
        protocol=_protocol(judged),
        scores=scores,
        better={measure: BETTER[measure] for measure in measures},
        verdict=verdict(judged),
        panels=_panels(languages, judged, parameters["level"]) if judged else (),
    )


def _protocol(judged: Judged | None) -> str:
    if judged is None:
        return ""
    own = judged.scores
    return f"{own.protocol}; {own.pairs:,} pairs" + (f"; {own.signature}" if own.signature else "")


def verdict(judged: Judged | None) -> str:
    """Return one sentence on the scores."""
    if judged is None:
        return "no pairs were held out, so nothing is known of its quality"
    scores = judged.scores.scores
    if "BLEU" not in scores["model"]:
        return (
            f"perplexity {judged.scores.perplexity:.2f} a token; BLEU was not counted: it needs "
            "pip install 'ostinato[translate]'"
        )
    model, best = scores["model"]["BLEU"], max(BASELINES, key=lambda name: scores[name]["BLEU"])
    other = scores[best]["BLEU"]
    if model <= other:
        return f"BLEU {model:.1f} is no better than {best}, {other:.1f}: the model has not learned to translate"
    return f"BLEU {model:.1f}, against {other:.1f} of the better baseline ({best})"


def _panels(languages: Languages, judged: Judged, level: Level) -> tuple[Panel, ...]:
    samples = Table(
        "Held-out sentences",
        ("source", "translation", "reference"),
        tuple(
            (source, found, reference)
            for (source, reference), found in list(zip(judged.pairs, judged.translations, strict=True))[:_SAMPLES]
        ),
        "as they come, not chosen",
    )
    flow = gradient_flow(languages, judged.pairs)
    flows = () if flow is None else (flow,)
    if not languages.network.looks:
        return (samples, *flows)
    short = [source for source, _ in judged.pairs if 0 < len(languages.source.encode(source)) <= _LONGEST]
    return (samples, *(attention_matrix(languages, source, level) for source in short[:_MATRICES]), *flows)


def attention_matrix(languages: Languages, source: str, level: Level) -> Matrix:
    """Return where each token of a greedy translation looked, as a figure has it."""
    found = translate_texts(languages, [source], Search(beam_size=1), attention=True)[0][0].hypothesis
    looked = found.attention
    assert looked is not None
    assert bool(torch.isfinite(looked).all())
    return Matrix(
        title=f"Attention: {source}",
        rows=token_names([*found.tokens, languages.target.specials.eos], languages.target, level),
        columns=token_names(languages.read(source), languages.source, level),
        values=tuple(tuple(row) for row in looked.tolist()),
        row_axis="translation",
        column_axis="source",
        note="each row is what the model looked at when it wrote that token",
    )
