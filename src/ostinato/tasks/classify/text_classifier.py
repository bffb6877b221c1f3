"""`TextClassifier`: which class a text belongs to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from ostinato.data.text.splitting import Split
from ostinato.tasks.classify.classifier import Classifier
from ostinato.tasks.classify.examples import Examples
from ostinato.tasks.classify.stream import TextStream
from ostinato.tasks.classify.text_task import TextTask
from ostinato.tasks.classify.texts import Column, Level
from ostinato.training.config import Averaged, Optimizer, Schedule


class TextClassifier(Classifier):
    """A recurrent classifier of texts: sentiment, topic, intent.

    Tokens are embedded and read by a recurrent stack or a Transformer; its outputs are pooled over the text and mapped
    to the scores of the classes. Probabilities are calibrated by a temperature that is found on the validation part.

    `fit` takes a path (CSV, TSV, JSON lines, Parquet; text also `.gz`), a data frame, `(texts, labels)`, or pairs of a
    text and a label; `predict` a path or texts. A file that is no table is read line by line, a text each.

    Args:
        text, label: columns of the file by name, or numbers from 0 if it has no header; keys of JSON lines.
        unquoted: whether `"` is an ordinary character of CSV and TSV files.
        level: what a token is: `"word"`, `"subword"` (byte-level BPE; needs `ostinato[text]`) or `"character"`.
        split: how words are parted: `"words"` (words, numbers and other characters), or at `"whitespace"` only.
        vocabulary_size: tokens at most; the rest is unknown. `None`: all words or characters, 4,000 subwords.
        min_count: how often a word or character must occur to be known.
        lower: make texts lower-case.
        vectors: a text file of word vectors (word2vec, GloVe, fastText) to start from; sets the embedding size.
        frozen: keep these vectors as they are.
        cell: a name from `ostinato.cells.PLAIN`, or `"transformer"`.
        embedding_size: features of a token.
        hidden_size, num_layers, bidirectional: of the stack.
        pooling: `"last"`, `"mean"`, `"max"`, `"attention"`, or several with `+` between.
        dropout: of layers' outputs and of the pooled vector; input_dropout: of embeddings, one mask for each text;
            embedding_dropout: of whole words, everywhere in a batch; word_dropout: of single words, which become
            unknown; weight_drop: of recurrent weights.
        class_weights: `"none"`, `"balanced"`, or a mapping from labels to weights in the training loss.
        label_smoothing: share of the target given to all classes alike.
        batch_size: texts of a batch.
        validation, test: the shares of every class that are held out, where `fit` is not given data for them.
        epochs: passes, at most; `None`: as many as make about 1,750 steps, 8 to 100.
        optimizer, learning_rate, momentum, schedule, warmup_steps, weight_decay, gradient_clip, patience,
        max_seconds, averaging, averaging_start, averaging_decay, averaging_patience, seed, device, precision, progress,
        tensorboard: see `ostinato.training.TrainingConfig`.

    After `fit`, `classes_` has the labels, `history_` the epochs, and `summary_` how the model does on the test part,
    beside a bag of words with logistic regression.

    >>> from ostinato import TextClassifier
    >>> texts = ["a fine film", "a dull film", "fine acting", "dull acting"] * 10
    >>> model = TextClassifier(test=0.0, epochs=20, progress=False).fit((texts, ["good", "bad"] * 20))
    >>> model.predict(["a fine plot", "a dull plot"]).tolist()
    ['good', 'bad']
    """

    KIND = TextTask.kind

    def __init__(
        self,
        *,
        text: Column = "text",
        label: Column = "label",
        unquoted: bool = False,
        level: Level = "word",
        split: Split = "words",
        vocabulary_size: int | None = None,
        min_count: int = 1,
        lower: bool = True,
        vectors: str | None = None,
        frozen: bool = False,
        cell: str = "gru",
        embedding_size: int = 64,
        hidden_size: int = 64,
        num_layers: int = 1,
        bidirectional: bool = True,
        pooling: str = "max",
        dropout: float = 0.5,
        input_dropout: float = 0.5,
        embedding_dropout: float = 0.3,
        word_dropout: float = 0.3,
        weight_drop: float = 0.0,
        class_weights: Literal["none", "balanced"] | Mapping[Any, float] = "none",
        label_smoothing: float = 0.1,
        batch_size: int = 32,
        validation: float = 0.1,
        test: float = 0.1,
        epochs: int | None = None,
        optimizer: Optimizer = "adamw",
        learning_rate: float = 2e-3,
        momentum: float = 0.0,
        schedule: Schedule = "one_cycle",
        warmup_steps: int = 0,
        weight_decay: float = 1.0,
        gradient_clip: float | None = 1.0,
        patience: int | None = 5,
        max_seconds: float | None = None,
        averaging: Averaged | None = "ema",
        averaging_start: int = 0,
        averaging_decay: float = 0.998,
        averaging_patience: int = 5,
        seed: int = 0,
        device: str = "cpu",
        precision: str = "32-true",
        progress: bool | Literal["auto"] = "auto",
        tensorboard: bool = False,
    ) -> None:
        values = dict(locals())
        for name in self._names():
            setattr(self, name, values[name])

    def stream(self) -> TextStream:
        """Return what answers one text a push.

        >>> model = TextClassifier(test=0.0, epochs=2, progress=False).fit((["yes", "no"] * 8, ["y", "n"] * 8))
        >>> sorted(model.stream().push("yes"))
        ['label', 'probabilities', 'probability']
        """
        self._checked()
        return TextStream(lambda texts: next(self.answers(texts)))

    def _task(self) -> TextTask:
        return TextTask(self.get_params())

    def _items(self, source: Any) -> Iterator[Examples]:
        if isinstance(source, (str, Path)) or hasattr(source, "columns"):
            yield self._read(source, labelled=False)
            return
        for line in source:  # each is answered as soon as it is there
            yield self._read([line], labelled=False)
