"""Subword vocabularies over bytes: nothing is unknown. Learned and applied by the `tokenizers` library."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

from ostinato.data.lines import NormalForm, check_normal_form, normalise
from ostinato.data.text.vocabulary import UNKNOWN_CHARACTER, Specials, is_unicode, several
from ostinato.errors import DataError, MissingExtra, UsageError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Model = Literal["bpe", "unigram"]
_BYTES = 256


@dataclass(frozen=True)
class SubwordVocabulary:
    """Pieces of words, down to single bytes, so that every text has an encoding and comes back exactly.

    Args:
        tokenizer: the learned pieces, as the `tokenizers` library writes them (JSON). Their numbers begin behind the
            special ones, which the library does not know: `<eos>` in a text is five ordinary characters.
        lower: whether texts are made lower-case first.
        normal_form: the Unicode normal form that texts are brought into first.

    Raises:
        DataError: `tokenizer` cannot be read.
        MissingExtra: the library is not installed.

    >>> vocabulary = SubwordVocabulary.build(["a dog and a dog"] * 3, size=300)
    >>> vocabulary.decode(vocabulary.encode("a dog, 犬!"))
    'a dog, 犬!'
    """

    tokenizer: str = field(repr=False)
    lower: bool = False
    normal_form: NormalForm = "NFC"
    _library: Tokenizer = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_normal_form(self.normal_form)
        tokenizer_class = _import_tokenizers().Tokenizer
        try:
            library = tokenizer_class.from_str(self.tokenizer)
        except Exception as error:
            raise DataError(f"the subword vocabulary cannot be read ({error}); build or save it again") from error
        object.__setattr__(self, "_library", library)

    @classmethod
    def build(
        cls,
        texts: Iterable[str],
        *,
        model: Model = "bpe",
        size: int = 8000,
        lower: bool = False,
        normal_form: NormalForm = "NFC",
    ) -> SubwordVocabulary:
        """Learn pieces from texts; the same texts give the same pieces.

        Args:
            texts: read once.
            model: `"bpe"`: byte-pair encoding (Sennrich, Haddow and Birch, 2016), or `"unigram"`: the unigram language
                model (Kudo, 2018). Words are split before their leading space, as GPT-2 does, so that no piece spans
                two.
            size: how many numbers there may be, the special ones and the 256 bytes among them; a small corpus gives
                fewer.
            lower: as for the class.
            normal_form: as for the class.

        Raises:
            DataError: the texts hold nothing.
            MissingExtra: the library is not installed.
            UsageError: an option is not known or out of range.
        """
        check_normal_form(normal_form)
        least = len(Specials()) + _BYTES
        if size <= least:
            raise UsageError(f"size is {size}; expected more than {least}, the special tokens and the bytes")
        if model not in ("bpe", "unigram"):
            raise UsageError(f'model is "{model}"; expected "bpe" or "unigram"')
        prepared = (_prepared(text, lower, normal_form) for text in several(texts))
        return cls(_learn(prepared, model, size - len(Specials())), lower, normal_form)

    @property
    def specials(self) -> Specials:
        """The numbers of the special tokens."""
        return Specials()

    def __len__(self) -> int:
        return len(Specials()) + self._library.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        """Return the numbers of the pieces of a text; a lone surrogate is taken as U+FFFD."""
        pieces = self._library.encode(_prepared(text, self.lower, self.normal_form), add_special_tokens=False).ids
        return [number + len(Specials()) for number in pieces]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text; an unknown token, a number out of range and bytes that are no UTF-8 are U+FFFD."""
        return "".join(self._runs(ids))

    def _runs(self, ids: Iterable[int]) -> Iterator[str]:
        first, last = len(Specials()), len(self)
        silent = {Specials().pad, Specials().bos, Specials().eos}
        heard = (number for number in map(int, ids) if number not in silent)
        for known, run in groupby(heard, lambda number: first <= number < last):
            if known:
                yield self._library.decode([number - first for number in run], skip_special_tokens=False)
            else:
                yield UNKNOWN_CHARACTER * sum(1 for _ in run)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return {
            "kind": "subwords",
            "lower": self.lower,
            "normal_form": self.normal_form,
            "tokenizer": self.tokenizer,
        }


def _prepared(text: str, lower: bool, form: NormalForm) -> str:
    text = normalise(text, form)
    text = text.lower() if lower else text
    return text if is_unicode(text) else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _learn(texts: Iterator[str], model: Model, size: int) -> str:
    _import_tokenizers()
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    first = next((text for text in texts if text.strip()), None)
    if first is None:
        raise DataError("the texts hold nothing but white space; there is nothing to learn pieces from: check the file")
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    options: dict[str, Any] = {"special_tokens": [], "initial_alphabet": alphabet, "show_progress": False}
    tokenizer = Tokenizer(models.BPE() if model == "bpe" else models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer_class = trainers.BpeTrainer if model == "bpe" else trainers.UnigramTrainer
    trainer = trainer_class(vocab_size=size, **options)
    tokenizer.train_from_iterator(_chain(first, texts), trainer)
    if model == "unigram":
        pieces = json.loads(tokenizer.to_str())["model"]["vocab"]
        tokenizer.model = models.Unigram(_in_fixed_order(pieces, alphabet))
    written: str = tokenizer.to_str()
    return written


def _chain(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _in_fixed_order(pieces: list[tuple[str, float]], alphabet: list[str]) -> list[tuple[str, float]]:
    """Return the pieces of a unigram model so that each training gives the same.

    The library (0.23) sums in the order of a hash table, so that scores differ by 1e-11 from run to run; and it gives
    the bytes that it did not see the scores `least`, `least + 1e-4`, ... in that order. All single bytes so near to
    the least get one score below it here: nothing but themselves can stand in their place.
    """
    scores = {piece: round(score, 6) for piece, score in pieces}
    least = min(scores.values())
    unseen = {byte for byte in alphabet if scores.get(byte, least) <= least + 1e-4 * (_BYTES + 1)}
    even = scores | dict.fromkeys(unseen, least - 1.0)
    return sorted(even.items(), key=lambda item: (-item[1], item[0]))


def _import_tokenizers() -> Any:
    try:
        import tokenizers
    except ImportError as error:
        raise MissingExtra("subword vocabularies need the extra text: pip install 'ostinato[text]'") from error
    return tokenizers
