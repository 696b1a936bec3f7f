"""Bars for an SVG: no script, no library; the template gives the same numbers as a table."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

LEFT, RIGHT, TOP, BOTTOM = 40, 12, 16, 26
HEIGHT = 190
BASE = HEIGHT - BOTTOM
STEPS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000)


@dataclass(frozen=True)
class Bar:
    """One column; `unsure` ones have a hatched ground: something is not known there."""

    label: str
    count: int
    unsure: bool = False


@dataclass(frozen=True)
class Drawn:
    """A column in SVG units."""

    x: float
    y: float
    width: float
    height: float
    ground: float  # x of its whole place
    place: float  # width of it
    middle: float
    label: str
    unsure: bool


@dataclass(frozen=True)
class Chart:
    """Everything that the template draws."""

    width: int
    bars: tuple[Drawn, ...]
    counts: tuple[tuple[float, int], ...]
    height: int = HEIGHT
    left: int = LEFT
    top: int = TOP
    base: int = BASE
    right: int = RIGHT


def draw(bars: Sequence[Bar], width: int) -> Chart:
    """The chart, `width` units wide; where columns are narrow, some go without a label."""
    top = _round_up(max((bar.count for bar in bars), default=0))
    place = (width - LEFT - RIGHT) / max(1, len(bars))
    every = max(1, -(-44 // int(max(1, place))))
    drawn = [_drawn(n, bar, place=place, top=top, labelled=n % every == 0) for n, bar in enumerate(bars)]
    counts = tuple((round(BASE - (BASE - TOP) * n / 4, 1), top * n // 4) for n in range(5))
    return Chart(width, tuple(drawn), counts)


def _drawn(n: int, bar: Bar, *, place: float, top: int, labelled: bool) -> Drawn:
    ground, gap = LEFT + n * place, min(4.0, place * 0.15)
    height = (BASE - TOP) * bar.count / top
    return Drawn(
        x=round(ground + gap, 1),
        y=round(BASE - height, 1),
        width=round(place - 2 * gap, 1),
        height=round(height, 1),
        ground=round(ground, 1),
        place=round(place, 1),
        middle=round(ground + place / 2, 1),
        label=bar.label if labelled else "",
        unsure=bar.unsure,
    )


def arrival_bars(arrivals: Mapping[int, int], bell: int, silences: Iterable[tuple[int, int]]) -> list[Bar]:
    """Arrivals by minute, from 50 minutes before the bell (seconds after midnight) to 25 after it."""
    spans = list(silences)
    first = bell // 60 - 50
    return [_minute(minute, arrivals.get(minute, 0), spans) for minute in range(first, first + 75)]


def _minute(minute: int, count: int, silences: Sequence[tuple[int, int]]) -> Bar:
    silent = any(starts < (minute + 1) * 60 and ends > minute * 60 for starts, ends in silences)
    return Bar(f"{minute // 60:02d}:{minute % 60:02d}", count, silent)


def tens(bars: Sequence[Bar]) -> list[Bar]:
    """The same in lines of ten minutes, for the table."""
    lots = [bars[start : start + 10] for start in range(0, len(bars), 10)]
    return [Bar(lot[0].label, sum(b.count for b in lot), any(b.unsure for b in lot)) for lot in lots]


def _round_up(count: int) -> int:
    return 4 * next((step for step in STEPS if count <= 4 * step), -(-count // 4))
