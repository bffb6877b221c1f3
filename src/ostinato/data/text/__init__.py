"""From text files to batches of token numbers: readers, vocabularies, batches, pretrained vectors."""

from ostinato.data.lines import Decoding, Rows
from ostinato.data.text.batches import (
    BucketedBatches,
    Chunk,
    ChunkedCorpus,
    PairBatch,
    SequenceBatch,
    TextBatch,
)
from ostinato.data.text.corpus import build_pair, encode_corpus
from ostinato.data.text.readers import read_delimited, read_json_lines, read_lines, read_parallel, read_text
from ostinato.data.text.splitting import split_words
from ostinato.data.text.subwords import SubwordVocabulary
from ostinato.data.text.tagged import TaggedSentence, read_conllu, read_tagged
from ostinato.data.text.vectors import WordVectors, read_vectors
from ostinato.data.text.vocabulary import (
    CharacterVocabulary,
    Specials,
    Vocabulary,
    WordVocabulary,
    vocabulary_from_dict,
)

__all__ = [
    "BucketedBatches",
    "CharacterVocabulary",
    "Chunk",
    "ChunkedCorpus",
    "Decoding",
    "PairBatch",
    "Rows",
    "SequenceBatch",
    "Specials",
    "SubwordVocabulary",
    "TaggedSentence",
    "TextBatch",
    "Vocabulary",
    "WordVectors",
    "WordVocabulary",
    "build_pair",
    "encode_corpus",
    "read_conllu",
    "read_delimited",
    "read_json_lines",
    "read_lines",
    "read_parallel",
    "read_tagged",
    "read_text",
    "read_vectors",
    "split_words",
    "vocabulary_from_dict",
]
