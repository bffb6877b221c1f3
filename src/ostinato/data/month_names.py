"""The names of months, in full and shortened, in the languages that files are most often written in.

No short name is of two months in any of them, but French `jui`, which is left out: a name needs no language said.
"""

from __future__ import annotations

import unicodedata

_NAMES = (
    "january february march april may june july august september october november december",
    "januar februar märz april mai juni juli august september oktober november dezember",
    "jänner feber mrz april mai juni juli august september oktober november dezember",
    "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
    "januari februari maart april mei juni juli augustus september oktober november december",
    "januari februari mrt april maj juni juli augusti september oktober november december",
    "januar februar marts april maj juni juli august september oktober november december",
    "stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października listopada grudnia",
    "styczeń luty marzec kwiecień maj czerwiec lipiec sierpień wrzesień październik listopad grudzień",
    "января февраля марта апреля мая июня июля августа сентября октября ноября декабря",
    "январь февраль март апрель май июнь июль август сентябрь октябрь ноябрь декабрь",
    "ocak şubat mart nisan mayıs haziran temmuz ağustos eylül ekim kasım aralık",
)
# English, German and Austrian, French, Spanish, Italian, Portuguese, Dutch, Swedish, Danish and Norwegian, Polish,
# Russian, Turkish
_AMBIGUOUS = "jui"
_WEEKDAYS = (
    "mon tue wed thu fri sat sun mo di mi do fr sa so lun mar mer jeu ven sam dim mié mie jue vie sáb sab dom gio "
    "seg ter qua qui sex dinsdag woensdag donderdag vrijdag zaterdag zondag"
)

LETTER = "[A-Za-zÀ-žА-яё]"
"""A letter of a name, as Rust's and Python's patterns know it alike."""
WEEKDAY = rf"(?:(?i:{'|'.join(_WEEKDAYS.split())}){LETTER}*(?:-feira)?\.?,?\s+)?"
"""The pattern of a weekday before a date, which says nothing that the date does not."""


def _bare(name: str) -> str:
    """Return a name without its accents."""
    return "".join(each for each in unicodedata.normalize("NFD", name) if not unicodedata.combining(each))


def _numbers() -> dict[str, int]:
    found: dict[str, int] = {}
    for line in _NAMES:
        for number, name in enumerate(line.split(), 1):
            for short in (name, name[:3], name[:4], name[:5]):
                found |= {short: number, _bare(short): number}
    del found[_AMBIGUOUS]
    return found


NUMBERS = _numbers()
"""The month, from 1 on, of each name in small letters."""
