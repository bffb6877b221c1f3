"""From text files to batches of token numbers: readers, vocabularies, batches, pretrained vectors."""

from ostinato.data.text.lines import Decoding, Rows
from ostinato.data.text.readers import read_delimited, read_json_lines, read_lines, read_parallel, read_text
from ostinato.data.text.tagged import TaggedSentence, read_conllu, read_tagged

__all__ = [
    "Decoding",
    "Rows",
    "TaggedSentence",
    "read_conllu",
    "read_delimited",
    "read_json_lines",
    "read_lines",
    "read_parallel",
    "read_tagged",
    "read_text",
]
