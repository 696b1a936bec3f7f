"""The chart of arrivals a minute as lines for an SVG: no script, no library, and the same numbers as a table."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

MINUTE = 60
LEFT, RIGHT, TOP, BOTTOM = 32, 20, 30, 24  # room around the lines for their labels, in SVG units
HEIGHT = 206
BASE = HEIGHT - BOTTOM


@dataclass(frozen=True)
class Label:
    """A text at a place along one axis."""

    at: float
    text: str


@dataclass(frozen=True)
class Band:
    """A time in which a gate was silent."""

    x: float
    width: float


@dataclass(frozen=True)
class Chart:
    """Everything that the template draws, in SVG units."""

    width: int
    today: str  # points of a polyline
    area: str
    before: str
    now: tuple[float, float] | None
    bells: tuple[Label, ...]
    bands: tuple[Band, ...]
    hours: tuple[Label, ...]
    counts: tuple[Label, ...]
    left: int = LEFT
    top: int = TOP
    base: int = BASE
    height: int = HEIGHT


@dataclass(frozen=True)
class Morning:
    """What the chart is about; times are seconds after the school's midnight.

    `today` and `before` count the arrivals of each minute after midnight.
    """

    today: Mapping[int, int]
    before: Mapping[int, int]
    bells: Sequence[tuple[int, str]]
    silences: Sequence[tuple[int, int]]
    now: int | None
    before_day: dt.date | None = None


@dataclass(frozen=True)
class Slot:
    """One line of the table."""

    starts: str
    today: int
    before: int


def window(bells: Iterable[int]) -> tuple[int, int]:
    """From 50 minutes before the first bell to 25 minutes after the last, on full ten minutes."""
    bells = tuple(bells) or (8 * 3600,)
    return (min(bells) - 50 * MINUTE) // 600 * 600, -(-(max(bells) + 25 * MINUTE) // 600) * 600


def minutes(arrivals: Mapping[int, int], starts: int, ends: int) -> list[int]:
    """Arrivals in each minute of the window."""
    return [arrivals.get(minute, 0) for minute in range(starts // MINUTE, ends // MINUTE)]


@dataclass(frozen=True)
class Axes:
    """From seconds and counts to SVG units."""

    starts: int
    ends: int
    most: int
    width: int

    def x(self, at: float) -> float:
        """Place of a time; what lies outside the window is at its edge."""
        inside = min(max(at, self.starts), self.ends) - self.starts
        return round(LEFT + (self.width - LEFT - RIGHT) * inside / (self.ends - self.starts), 1)

    def y(self, count: float) -> float:
        """Place of a count."""
        return round(BASE - (BASE - TOP) * count / self.most, 1)

    def line(self, arrivals: Mapping[int, int], until: int) -> list[tuple[float, float]]:
        """Arrivals a minute up to a time."""
        found = minutes(arrivals, self.starts, until)
        return [(self.x(self.starts + minute * MINUTE), self.y(count)) for minute, count in enumerate(found)]

    def band(self, begins: int, ends: int) -> Band:
        """A time between."""
        return Band(self.x(begins), max(2.0, round(self.x(ends) - self.x(begins), 1)))


def draw(morning: Morning, width: int) -> Chart:
    """The chart, `width` units wide; narrow ones get fewer labels."""
    starts, ends = window(at for at, _ in morning.bells)
    busiest = max(minutes(morning.today, starts, ends) + minutes(morning.before, starts, ends))
    axes = Axes(starts, ends, _round_up(busiest), width)
    now = ends if morning.now is None else min(morning.now, ends)
    line = axes.line(morning.today, now)
    area = [(line[0][0], float(BASE)), *line, (line[-1][0], float(BASE))] if line else []
    step = 600 if width > 500 else 1200
    return Chart(
        width=width,
        today=_points(line),
        area=_points(area),
        before=_points(axes.line(morning.before, ends)) if morning.before else "",
        now=line[-1] if line and starts < now < ends else None,
        bells=tuple(Label(axes.x(at), name) for at, name in morning.bells),
        bands=tuple(axes.band(a, b) for a, b in morning.silences if a < ends and b > starts),
        hours=tuple(Label(axes.x(at), _clock(at)) for at in range(starts, ends + 1, step)),
        counts=tuple(Label(axes.y(n), str(n)) for n in range(0, axes.most + 1, axes.most // 4)),
    )


def table(morning: Morning) -> list[Slot]:
    """The same numbers in ten-minute lines."""
    starts, ends = window(at for at, _ in morning.bells)
    today, before = (minutes(arrivals, starts, ends) for arrivals in (morning.today, morning.before))
    tens = range(0, len(today), 10)
    return [Slot(_clock(starts + t * MINUTE), sum(today[t : t + 10]), sum(before[t : t + 10])) for t in tens]


def _round_up(count: int) -> int:
    step = next(step for step in (1, 2, 5, 10, 25, 50, 100, 250, 1000) if count <= step * 4 or step == 1000)
    return step * 4


def _points(places: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in places)


def _clock(at: int) -> str:
    return f"{at // 3600:02d}:{at // 60 % 60:02d}"
