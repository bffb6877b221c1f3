"""`Translator`: fit, translate, evaluate, stream, save, in the scikit-learn manner."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self, overload

from numpy.typing import NDArray

from ostinato.artifact import Artifact
from ostinato.data.text import read_lines
from ostinato.data.text.splitting import Split
from ostinato.data.text.subwords import Model
from ostinato.errors import UsageError
from ostinato.nn.decoder import Reading
from ostinato.tasks.estimator import SavedEstimator
from ostinato.tasks.base.summary import Matrix, Summary
from ostinato.tasks.translate.corpus import Level
from ostinato.tasks.translate.evaluation import TranslationScores
from ostinato.tasks.translate.fitting import Outcome, fit_translator, search_of
from ostinato.tasks.translate.network import AttentionName
from ostinato.tasks.translate.pairs import Pairs, name_of, read_pairs
from ostinato.tasks.translate.saving import pack, unpack
from ostinato.tasks.translate.scoring import judge
from ostinato.tasks.translate.search import Search
from ostinato.tasks.translate.seeing import attention_matrix
from ostinato.tasks.translate.stream import TranslationStream
from ostinato.tasks.translate.translating import Translation, translate_texts, translated_pieces
from ostinato.tasks.translate.updating import new_pairs
from ostinato.tasks.updating import NewRows
from ostinato.training import History
from ostinato.training.config import Averaged, Optimizer, Schedule

_TOGETHER = 64


class Translator(SavedEstimator[Outcome]):
    """From texts to texts: an encoder reads a source, a decoder with attention writes what it means.

    Args:
        level: what a token is: `"subword"` (needs `ostinato[text]`), `"word"` or `"character"`.
        subwords: how subwords are learned: `"bpe"` or `"unigram"`.
        split: how words are parted: `"words"` (punctuation by itself, and joined again in translations), or
            `"whitespace"` for texts that are parted already.
        vocabulary_size: tokens of a side at most; `None`: all for words and characters, 8,000 subwords.
        min_count: how often a word or character must occur to be known.
        shared_vocabulary: one vocabulary, and one embedding, for both sides.
        lower: make texts lower-case; BLEU and chrF then do not count letter case, as their signatures say.
        cell: a name from `ostinato.cells.PLAIN`, or `"transformer"`.
        attention: `"additive"` (Bahdanau), `"dot"`, `"general"` (Luong), `"multihead"` or `"none"`.
        reading: whether a step looks at the source `"after"` the recurrent step (whole targets are then trained in one
            scan) or `"before"` it.
        input_feeding: a step also reads what the step before gave out (Luong et al., section 3.3).
        embedding_size: features of a token; `None`: as `hidden_size`.
        hidden_size: units of the decoder; the encoder has half of them in each direction.
        num_layers: of encoder and decoder.
        dropout: of embeddings, between layers, and of what scores are made of.
        tie_weights: the target's embedding is the matrix of the scores; with a shared vocabulary the source's too (O.
            Press and L. Wolf, EACL 2017).
        label_smoothing: share of each target token that goes to all others in training.
        teacher_forcing: the share of target tokens that the decoder is given in the last epoch, where it reads its own
            for the rest; the share falls evenly from 1 in the first (scheduled sampling).
        max_length: tokens of a side; longer pairs are left out of training, or cut, and counted. `None`: 250, or 1,000
            characters.
        long_pairs: `"leave_out"` or `"cut"`.
        columns: of a file of pairs: names or numbers of source and target; see `fit`.
        beam_size, length_penalty, coverage_penalty: how translations are searched for; see `Search`. A call may say
            otherwise.
        copy_unknown: replace an unknown word of a translation by the source word that was looked at (words only).
        batch_tokens: tokens of a side in a batch, padding counted.
        validation, test: the shares of the pairs that are held out, where `fit` is not given files for them.
        epochs, optimizer, learning_rate, schedule, warmup_steps, weight_decay, gradient_clip, patience, max_seconds,
        averaging, averaging_decay, seed, device, precision, progress, tensorboard: see
        `ostinato.training.TrainingConfig`.

    After `fit`, `history_` has the epochs and `summary_` the scores, beside baselines, and what attention looked at.

    Sources: I. Sutskever, O. Vinyals and Q. Le, NeurIPS 2014; D. Bahdanau, K. Cho and Y. Bengio, ICLR 2015; M. Luong,
    H. Pham and C. Manning, EMNLP 2015; A. Vaswani et al., NeurIPS 2017.

    >>> from ostinato import Translator
    >>> pairs = [("ein Hund", "a dog"), ("eine Katze", "a cat"), ("ein Hund läuft", "a dog runs")] * 20
    >>> options = {"hidden_size": 32, "dropout": 0.0, "batch_tokens": 64, "learning_rate": 0.01, "progress": False}
    >>> model = Translator(level="word", **options)
    >>> model.fit(pairs).translate("ein Hund läuft")
    'a dog runs'
    """

    KIND = "translator"

    def __init__(
        self,
        *,
        level: Level = "subword",
        subwords: Model = "bpe",
        split: Split = "words",
        vocabulary_size: int | None = None,
        min_count: int = 1,
        shared_vocabulary: bool = False,
        lower: bool = False,
        cell: str = "gru",
        attention: AttentionName = "general",
        reading: Reading = "after",
        input_feeding: bool = False,
        embedding_size: int | None = None,
        hidden_size: int = 256,
        num_layers: int = 1,
        dropout: float = 0.3,
        tie_weights: bool = True,
        label_smoothing: float = 0.1,
        teacher_forcing: float = 1.0,
        max_length: int | None = None,
        long_pairs: Literal["leave_out", "cut"] = "leave_out",
        columns: tuple[str | int, str | int] | None = None,
        beam_size: int = 5,
        length_penalty: float = 0.6,
        coverage_penalty: float = 0.0,
        copy_unknown: bool = True,
        batch_tokens: int = 1024,
        validation: float = 0.05,
        test: float = 0.05,
        epochs: int = 20,
        optimizer: Optimizer = "adamw",
        learning_rate: float = 3e-3,
        schedule: Schedule = "one_cycle",
        warmup_steps: int = 0,
        weight_decay: float = 0.0,
        gradient_clip: float | None = 1.0,
        patience: int | None = 5,
        max_seconds: float | None = None,
        averaging: Averaged | None = None,
        averaging_decay: float = 0.999,
        seed: int = 0,
        device: str = "cpu",
        precision: str = "32-true",
        progress: bool | Literal["auto"] = "auto",
        tensorboard: bool = False,
    ) -> None:
        values = dict(locals())
        for name in self._names():
            setattr(self, name, values[name])

    def fit(
        self,
        data: Pairs,
        *,
        validation: Pairs | None = None,
        test: Pairs | None = None,
        directory: str | Path | None = None,
        resume: bool = False,
    ) -> Self:
        """Train on pairs of texts.

        Args:
            data: a TSV, CSV or JSON-lines file of pairs, or a tuple of two files, of sources and of their translations,
                one a line, plain or `.gz`; or pairs in a list. See `read_pairs` for the columns.
            validation: pairs that decide which epoch is best and when to stop; `None`: a share of `data`, drawn.
            test: pairs for the scores in `summary_`; likewise.
            directory: where the history and the checkpoint of the run are kept; `None`: nowhere.
            resume: go on from the directory's checkpoint if there is one.

        Raises:
            DataError: something in the data is wrong, or there is too little of it.
            UsageError: a parameter is out of range.
            NonFiniteLoss: training broke off; with an epoch done before, the model is fitted with its weights.
        """
        folder = None if directory is None else Path(directory)
        self._keep(fit_translator(self.get_params(), data, validation, test, folder, resume))
        if self.fitted_.failure is not None:
            raise self.fitted_.failure
        return self

    @overload
    def translate(self, texts: str, **search: Any) -> str: ...
    @overload
    def translate(self, texts: Sequence[str], **search: Any) -> list[str]: ...
    def translate(self, texts: str | Sequence[str], **search: Any) -> str | list[str]:
        """Return the translation of a text, or of each of several.

        Args:
            texts: one, or several; they are searched in batches.
            search: options of `Search` that differ from the estimator's: `beam_size`, `min_length`, ...

        Raises:
            UsageError: an option is not known or out of range.
        """
        if isinstance(texts, str):
            return self.alternatives([texts], **search)[0][0].text
        return [found[0].text for found in self.alternatives(texts, **search)]

    predict = translate

    def alternatives(self, texts: Sequence[str], **search: Any) -> list[list[Translation]]:
        """Return the best translations of each text that the beam held, the best first, with their scores.

        Args:
            texts: several.
            search: see `translate`.
        """
        if isinstance(texts, str):
            raise UsageError("texts is one text; expected several, such as a list")
        return translate_texts(self._checked().languages, list(texts), self._search(search))

    def attend(self, text: str) -> Matrix:
        """Return where each token of the greedy translation looked, `values[token][source token]`.

        Raises:
            UsageError: the model has no attention.
        """
        own = self._checked().languages
        if not own.network.looks:
            raise UsageError('the model was fitted with attention="none"; there is nothing to look at')
        if len(own.read(text)) == 1:
            raise UsageError("the text is empty; there is nothing to look at")
        return attention_matrix(own, text, self.get_params()["level"])

    def evaluate(self, data: Pairs, *, tokenize: str = "13a", **search: Any) -> TranslationScores:
        """Return BLEU, chrF and the likelihood of references, beside baselines.

        Args:
            data: as for `fit`; pairs without a reference are left out.
            tokenize: how sacrebleu parts words: `"13a"`, `"intl"`, `"zh"`, `"char"`, ...
            search: see `translate`.

        Raises:
            DataError: the pairs cannot be read, or there are none.
            MissingExtra: sacrebleu is not installed.
        """
        fitted, how = self._checked(), self._search(search)
        pairs = [pair for pair in read_pairs(data, self.get_params()["columns"]) if pair[1]]
        return judge(fitted.languages, pairs, fitted.dictionary, how, name_of(data), tokenize=tokenize).scores

    def score(self, data: Pairs) -> float:
        """Return BLEU: higher is better, as scikit-learn has it."""
        return self.evaluate(data).bleu

    def answers(self, source: str | Path | Iterable[str], **search: Any) -> Iterator[Mapping[str, Any]]:
        """Yield the translation of each line, with the others of the beam beside it.

        Args:
            source: a path of a text, whose lines are searched in batches, or texts, each answered as it comes.
            search: see `translate`.
        """
        how = self._search(search)
        lines: Iterable[str] = read_lines(source, keep_blank=True) if isinstance(source, (str, Path)) else source
        together = _TOGETHER if isinstance(source, (str, Path, list, tuple)) else 1
        for chunk in _chunks(lines, together):
            for found in translate_texts(self._checked().languages, chunk, how):
                others = [{"translation": own.text, "score": own.score} for own in found]
                yield {"translation": found[0].text, "alternatives": others}

    @overload
    def stream(self, text: None = None, **search: Any) -> TranslationStream: ...
    @overload
    def stream(self, text: str, **search: Any) -> Iterator[str]: ...
    def stream(self, text: str | None = None, **search: Any) -> TranslationStream | Iterator[str]:
        """Yield the greedy translation of a text piece by piece, as it is written.

        Args:
            text: the source; without one, a stream whose `push(line)` answers line by line.
            search: `min_length`, `max_length` and `block_ngrams`; there is no beam.
        """
        own, how = self._checked().languages, self._search(search)
        return TranslationStream(own, how) if text is None else translated_pieces(own, text, how)

    def _new_rows(self, data: Any) -> NewRows[Outcome]:
        return new_pairs(self.get_params(), self._checked(), data)

    @classmethod
    def _pack(cls, fitted: Outcome) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        return pack(fitted)

    @classmethod
    def _unpack(cls, artifact: Artifact) -> Outcome:
        return unpack(artifact)

    def _search(self, options: dict[str, Any]) -> Search:
        return search_of(vars(self)).changed(options)

    def _keep(self, fitted: Outcome) -> None:
        super()._keep(fitted)
        self.history_: History = fitted.history
        self.summary_: Summary = fitted.summary


def _chunks(lines: Iterable[str], size: int) -> Iterator[list[str]]:
    chunk: list[str] = []
    for line in lines:
        chunk.append(line)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
