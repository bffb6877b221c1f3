"""The parameters of a tagger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from ostinato.options import Cell, data, model, training
from ostinato.tasks.base.about import About, Parameters
from ostinato.training.config import Optimizer, Schedule


@dataclass(kw_only=True, eq=False, repr=False)
class TagParameters(Parameters):
    """The parameters of a `SequenceTagger`."""

    about: ClassVar[About] = About(
        name="tagging",
        kind="sequence tagger",
        help="tag each token of a sentence: parts of speech, names",
        description="Train a recurrent tagger on tagged sentences, hold some out, and show it beside a hidden Markov "
        "model and the most frequent tag of each word.",
        examples="""
  ostinato fit tagging en-ud-train.conllu --validation-file en-ud-dev.conllu --test-file en-ud-test.conllu --out model
  ostinato fit tagging eng.train --output crf --vectors glove.6B.100d.txt --lower --out model
  echo "The dog barks" | ostinato predict model""",
        files="tagged sentences: CoNLL-U (.conllu), or a token and its tag a line; also .gz",
        hint="ostinato predict {out} tags lines of stdin; ostinato report {out} shows the model",
    )
    unsized: ClassVar[frozenset[str]] = frozenset({"vector_words"})

    token: int = data(0, "column of the token, from 0, or from the last: -1")
    tag: int | str | None = data(None, "column of the tag, or its name in CoNLL-U", absent="the last; upos")
    lower: bool = data(False, "make words lower-case, but not their characters")
    min_count: int = data(1, "how often a word must occur to be known as a whole", low=1)
    vectors: str | None = model(None, "file of pretrained vectors: word2vec, GloVe or fastText, as text")
    freeze_vectors: bool = model(False, "keep pretrained vectors as they are")
    vector_words: int = model(20_000, "of the first words of the vectors, how many are known too", low=0)
    embedding_size: int = model(64, "features of a word, unless the vectors say so", low=1)
    characters: Literal["none", "cnn", "rnn"] = model("cnn", "how a word's characters are read")
    character_size: int = model(32, "features that gives", low=1)
    longest_word: int = model(32, "characters of a word that are read at most, its first and its last ones", low=1)
    cell: Cell = model("lstm", "recurrent cell, any of docs/cells.md, or transformer")
    bidirectional: bool = model(True, "read both ways")
    hidden_size: int = model(96, "units of a layer and direction", low=1)
    num_layers: int = model(1, "layers", low=1)
    context: int = model(64, "tokens that a transformer looks back on if it reads one way", low=1)
    wide: bool = model(True, "a linear layer on words, their spelling and their neighbours beside the network")
    output: Literal["softmax", "crf"] | None = model(
        None,
        "what judges the tags: each by itself, or all together",
        absent="crf where tags name spans, if sentences are read both ways and tags count alike; else softmax",
    )
    constraints: bool = model(True, "hold a CRF to BIO or IOBES if the training tags keep to it")
    class_weights: Literal["none", "balanced", "square_root", "effective"] = model(
        "none", "how much each tag counts in the loss of the softmax"
    )
    dropout: float = model(0.3, "of layers' outputs, one mask for each sentence", low=0, below=1)
    input_dropout: float = model(0.2, "of what the stack reads", low=0, below=1)
    word_dropout: float = model(0.05, "share of words that training takes for unknown ones", low=0, below=1)
    batch_size: int = training(32, "sentences of a batch", low=1)
    epochs: int | None = training(20, "passes over the training sentences, at most", low=1)
    optimizer: Optimizer = training("adamw", "what moves the weights; sgd with momentum")
    learning_rate: float = training(3e-3, "the highest step size, which the schedule moves below", above=0)
    schedule: Schedule = training("one_cycle", "how the learning rate falls from the first step to the last")
    patience: int | None = training(5, "epochs without a better validation loss before training stops", low=1)
