"""Numbers in figures: which ones translations keep, and how those that training hardly had are read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

RUNS = re.compile(r"\d+")
_JOINED = re.compile(r"\d+(?:[.,:/-]\d+)+")  # dates, times, decimals, large numbers
_LENGTHS = 4  # digits of a run, so many or more, that are told apart
_PRIOR = 2.0  # runs that what is known of others is worth
_OFTEN = 5  # a run that came so often is read as it is
_STANDS = 12  # of each length
_SURE = 0.9
_FEW = 3  # a way to write numbers that came more seldom is none


@dataclass(frozen=True)
class Numbers:
    """What training pairs tell of runs of digits.

    Args:
        shares: how many of those with 1, 2, 3, and 4 or more digits translations keep.
        others: runs that are kept although most of their length are not, or the other way round.
        often: runs that came often.
        stands: of each length, runs that are kept and came often, those that are kept most first.
        forms: how dates, decimals and the like are written in sources, `#.#.#`, and in translations, `{1}/{0}/{2}`.

    Raises:
        ValueError: a share is none, as in a file that was changed.
    """

    shares: tuple[float, ...] = (1.0,) * _LENGTHS
    others: tuple[str, ...] = ()
    often: tuple[str, ...] = ()
    stands: tuple[tuple[str, ...], ...] = ((),) * _LENGTHS
    forms: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        """Hold the parts against each other, and look up runs."""
        if len(self.shares) != _LENGTHS or len(self.stands) != _LENGTHS or not all(0 <= x <= 1 for x in self.shares):
            raise ValueError("the shares of numbers that are kept are none")
        if any(not RUNS.fullmatch(each) for each in (*self.others, *self.often, *sum(self.stands, ()))):
            raise ValueError("what stands for numbers is none")
        if not all(_is_form(shape, form) for shape, form in self.forms):
            raise ValueError("a way to write numbers is none")
        object.__setattr__(self, "_forms", dict(self.forms))
        object.__setattr__(self, "_others", frozenset(self.others))
        object.__setattr__(self, "_often", frozenset(self.often))

    @classmethod
    def fit(cls, pairs: Sequence[tuple[str, str]]) -> Numbers:
        """Count how often each run of the sources is in the translation too.

        >>> found = Numbers.fit([("um 1987", "in 1987"), ("3 Hunde", "three dogs"), ("3 Katzen", "three cats")])
        >>> found.wanted("3 Hunde, 1990")
        ['1990']
        """
        came, kept = Counter[str](), Counter[str]()
        for source, target in pairs:
            runs = Counter(RUNS.findall(source))
            if runs:
                came.update(runs)
                kept.update(runs & Counter(RUNS.findall(target)))
        by_length = [[0.0, 0.0] for _ in range(_LENGTHS)]
        for run, count in came.items():
            both = by_length[_place(run)]
            both[0] += kept[run]
            both[1] += count
        every = (sum(a for a, _ in by_length) + _PRIOR) / (sum(b for _, b in by_length) + _PRIOR)
        shares = tuple((a + _PRIOR * every) / (b + _PRIOR) for a, b in by_length)
        each = {run: (kept[run] + _PRIOR * shares[_place(run)]) / (count + _PRIOR) for run, count in came.items()}
        others = sorted(run for run, share in each.items() if (share > 0.5) != (shares[_place(run)] > 0.5))
        often = sorted(run for run, count in came.items() if count >= _OFTEN)
        best = sorted((run for run in often if each[run] >= _SURE), key=lambda run: (-each[run], run))
        stands = tuple(tuple(run for run in best if _place(run) == place)[:_STANDS] for place in range(_LENGTHS))
        return cls(shares, tuple(others), tuple(often), stands, _forms(pairs))

    def is_kept(self, run: str) -> bool:
        """Tell whether translations mostly have a run of digits as its source has it."""
        return (self.shares[_place(run)] > 0.5) != (run in self._others)  # type: ignore[attr-defined]

    def wanted(self, source: str) -> list[str]:
        """Return the runs of a source that its translation is to have."""
        return [run for run in RUNS.findall(source) if self.is_kept(run)]

    def missing(self, source: str, text: str) -> int:
        """Return how many of them a translation lacks."""
        wanted = self.wanted(source)
        return (Counter(wanted) - Counter(RUNS.findall(text))).total() if wanted else 0

    def written(self, word: str) -> str:
        """Return a source word that is copied, dates and decimals in it as translations write them.

        >>> Numbers(forms=(("#.#.#", "{1}/{0}/{2}"),)).written("12.3.1987")
        '3/12/1987'
        """

        def instead(found: re.Match[str]) -> str:
            form: str | None = self._forms.get(RUNS.sub("#", found[0]))  # type: ignore[attr-defined]
            return found[0] if form is None else form.format(*RUNS.findall(found[0]))

        return _JOINED.sub(instead, word) if self.forms else word

    def read_as(self, source: str) -> tuple[str, dict[str, str]]:
        """Return a source with its rare numbers replaced by frequent ones, and what stands for which.

        A network that has seen a number once cannot write it; of one that it has seen often it knows where it belongs.
        """
        runs = RUNS.findall(source)
        instead: dict[str, str] = {}
        for run in dict.fromkeys(runs):
            if run in self._often or not self.is_kept(run):  # type: ignore[attr-defined]
                continue
            taken = {*runs, *instead.values()}
            near = sorted(range(_LENGTHS), key=lambda place: abs(place - _place(run)))
            found = next((each for place in near for each in self.stands[place] if each not in taken), None)
            if found is not None:
                instead[run] = found
        return replaced(source, instead), {stand: run for run, stand in instead.items()}

    def pair_as(self, source: str, target: str) -> tuple[str, str]:
        """Return a source as it is read, and its translation likewise."""
        read, back = self.read_as(source)
        return read, replaced(target, {run: stand for stand, run in back.items()})


def replaced(text: str, instead: Mapping[str, str]) -> str:
    """Return a text with runs of digits replaced by others."""
    return RUNS.sub(lambda found: instead.get(found[0], found[0]), text) if instead else text


def mended(text: str, source: str, wanted: Sequence[str]) -> str:
    """Return a translation in which a number that its source does not have gives way to one of as many digits it lacks.

    >>> mended("2 men in 1985", "zwei Männer um 1987", ["1987"])
    '2 men in 1987'
    """
    there, ours = Counter(RUNS.findall(text)), Counter(RUNS.findall(source))
    lacking = list((Counter(wanted) - there).elements())
    if not lacking:
        return text
    made = there - ours

    def instead(found: re.Match[str]) -> str:
        run = found[0]
        fits = next((each for each in lacking if len(each) == len(run)), None) if made[run] else None
        if fits is None:
            return run
        made[run] -= 1
        lacking.remove(fits)
        return fits

    return RUNS.sub(instead, text)


def _place(run: str) -> int:
    return min(len(run), _LENGTHS) - 1


def _forms(pairs: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return how numbers of several runs are mostly written in translations, where that is not as in sources."""
    votes: dict[str, Counter[str]] = {}
    for source, target in pairs:
        for word in _JOINED.findall(source):
            runs = RUNS.findall(word)
            if len(set(runs)) == len(runs) < 10:  # else it is not known which is which
                votes.setdefault(RUNS.sub("#", word), Counter())[_form_of(runs, target)] += 1
    found = []
    for shape, counts in sorted(votes.items()):
        form, count = counts.most_common(1)[0]
        if form not in ("", _form_of(_places(shape), shape.replace("#", "{}").format(*_places(shape)))):
            found += [(shape, form)] if count >= _FEW and 2 * count > counts.total() else []
    return tuple(found)


def _form_of(runs: Sequence[str], target: str) -> str:
    """Return how a target writes runs of digits, `{1}/{0}/{2}`; empty: it does not."""
    word = next((one for one in _JOINED.findall(target) if sorted(RUNS.findall(one)) == sorted(runs)), "")
    return RUNS.sub(lambda found: f"{{{runs.index(found[0])}}}", word)


def _places(shape: str) -> list[str]:
    return [str(place) for place in range(shape.count("#"))]


def _is_form(shape: str, form: str) -> bool:
    """Tell whether a form writes each run of a shape once, and nothing but what joins them."""
    plain = _JOINED.fullmatch(form.replace("{", "").replace("}", ""))
    return bool(plain) and sorted(re.findall(r"\{(\d)\}", form)) == sorted(RUNS.findall(form)) == _places(shape)
