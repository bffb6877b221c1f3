"""Music from files and back: MIDI, tunes in ABC notation, piano rolls; pieces as notes in time, and on a grid."""

from ostinato.data.music.abc_tunes import parse_abc, read_abc
from ostinato.data.music.abc_writing import abc_text, write_abc
from ostinato.data.music.grid import from_frames, of_chords, to_frames
from ostinato.data.music.midi import midi_bytes, read_midi, write_midi
from ostinato.data.music.pieces import PIANO, Piece, Pieces, note_name
from ostinato.data.music.reading import ENDINGS, read_music

__all__ = [
    "ENDINGS",
    "PIANO",
    "Piece",
    "Pieces",
    "abc_text",
    "from_frames",
    "midi_bytes",
    "note_name",
    "of_chords",
    "parse_abc",
    "read_abc",
    "read_midi",
    "read_music",
    "to_frames",
    "write_abc",
    "write_midi",
]
