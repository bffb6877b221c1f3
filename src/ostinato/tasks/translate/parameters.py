"""The parameters of a translator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from ostinato.options import Cell, data, model, training
from ostinato.tasks.base.about import About, Parameters
from ostinato.training.config import Optimizer, Schedule


@dataclass(kw_only=True, eq=False, repr=False)
class TranslationParameters(Parameters):
    """The parameters of a `Translator`."""

    about: ClassVar[About] = About(
        name="translation",
        kind="translator",
        help="translate, or rewrite, one sentence after the other",
        description="Train a recurrent encoder and decoder with attention on pairs of texts, hold some out, and show "
        "it beside a word-for-word dictionary.",
        examples="""
  ostinato fit translation train.de.gz train.en.gz --validation-file val.de val.en --out model
  ostinato fit translation pairs.tsv --level word --cell lstm --attention additive --out model
  echo "Ein Hund schläft." | ostinato predict model
  ostinato predict model source.txt --json
  ostinato evaluate model test.de test.en""",
        files="sources and their translations, one a line, in two files; or pairs in one TSV, CSV or JSON-lines file; "
        "also .gz",
        count=2,
        hint="ostinato predict {out} FILE translates; ostinato report {out} shows it",
    )
    unsized: ClassVar[frozenset[str]] = frozenset({"beam_size"})

    level: Literal["subword", "word", "character"] = data("subword", "what a token is")
    subwords: Literal["bpe", "unigram"] = data("bpe", "how subwords are learned")
    split: Literal["words", "whitespace"] = data("words", "how words are split: also from punctuation, or at spaces")
    columns: Sequence[str | int] | None = data(
        None, "names or numbers of source and target in a file of pairs", absent="source and target, or the first two"
    )
    vocabulary_size: int | None = data(
        None, "tokens of a side at most", low=1, absent="all; 500 to 8000 subwords, by the size of the corpus"
    )
    min_count: int = data(1, "how often a word or character must occur to be known", low=1)
    shared_vocabulary: bool = data(False, "one vocabulary, and one embedding, for both sides")
    lower: bool = data(False, "make texts lower-case; BLEU and chrF then do not count letter case")
    max_length: int | None = data(
        None, "tokens of a side; longer pairs are not trained on", low=1, absent="250; 1000 characters"
    )
    long_pairs: Literal["leave_out", "cut"] = data("leave_out", "what is done with longer pairs")
    validation: float = data(0.05, "share of the pairs, drawn, that decides when to stop", low=0, below=0.5)
    test: float = data(0.05, "share of the pairs, drawn, that is held out to be judged on", low=0, below=0.5)
    phrases: bool = data(True, "say beside the network what phrases of the training pairs say, and choose by both")
    tokenize: str = data("13a", "how sacrebleu splits words for BLEU: 13a, intl, zh, ja-mecab, char")
    cell: Cell = model("gru", "recurrent cell, any of docs/cells.md, or transformer")
    attention: Literal["additive", "dot", "general", "multihead", "none"] = model("general", "to the source")
    reading: Literal["after", "before"] = model("after", "the source, after or before a recurrent step")
    input_feeding: bool = model(False, "a step also reads what the step before gave out")
    embedding_size: int | None = model(None, "features of a token", low=1, absent="as hidden_size")
    hidden_size: int | None = model(
        None,
        "units of the decoder; the encoder has half of them in each direction",
        low=1,
        absent="256; 128 of up to 3,000 pairs, or with less than 150 s",
    )
    num_layers: int = model(1, "layers of encoder and decoder", low=1)
    dropout: float | None = model(
        None,
        "of embeddings, between layers, of what scores are made of",
        low=0,
        below=1,
        absent="0.3; 0.1 where the time is for few passes",
    )
    tie_weights: bool = model(True, "the target's embedding is the matrix of the scores")
    beam_size: int = model(5, "hypotheses followed side by side", low=1)
    length_penalty: float = model(0.6, "towards 1, longer translations are preferred", low=0)
    coverage_penalty: float = model(0.0, "on source tokens that were not looked at", low=0)
    copy_unknown: bool = model(True, "replace an unknown word by the source word that was looked at (words only)")
    label_smoothing: float = training(0.1, "share of each target token that goes to all others", low=0, below=1)
    teacher_forcing: float = training(1.0, "share of target tokens that are given in the last epoch", above=0, high=1)
    batch_tokens: int | None = training(
        None, "tokens of a side in a batch, padding counted", low=1, absent="512 of up to 10,000 pairs, else 1024"
    )
    epochs: int | None = training(
        None,
        "passes over the training pairs, at most",
        low=1,
        absent="for 3,000 steps, 3 to 30; 30 with max_seconds",
    )
    optimizer: Optimizer = training("adamw", "what moves the weights; sgd with momentum")
    learning_rate: float = training(3e-3, "the highest step size, which the schedule moves below", above=0)
    schedule: Schedule = training("one_cycle", "how the learning rate falls from the first step to the last")
    patience: int | None = training(5, "epochs without a better validation loss before training stops", low=1)
