"""A year's public holidays and make-up days, from kept lists: proposals only, for a list may be older than the law.

The lists are large and only wanted once a year, so they are read when somebody asks.
"""

import datetime as dt
import importlib
from collections import defaultdict
from types import ModuleType
from typing import Any

from server.calendar.models import DayKind
from server.calendar.proposals import Proposed
from server.calendar.service import BadCalendar

CHINA = "CN"
YEARS = range(2004, 2101)


def seeded(year: int, *, country: str = CHINA, locale: str = "zh_Hans_CN") -> list[Proposed]:
    """Days off and make-up days of a year, in order. Raises BadCalendar for a country that no list knows."""
    if year not in YEARS:
        raise BadCalendar(f"{year} is no year that lists of holidays know; there are {YEARS[0]} to {YEARS[-1]}")
    if country == CHINA and make_ups_known(year):
        return _chinese(_list(), year, chinese=locale.startswith("zh"))
    return _statutory(year, country, chinese=locale.startswith("zh"))


def make_ups_known(year: int) -> bool:
    """Whether the year's make-up days (调休) are published: some day of it is one in the list."""
    return any(day.year == year for day in _list().workdays)


def _list() -> ModuleType:
    return importlib.import_module("chinese_calendar")


def _chinese(kept: Any, year: int, *, chinese: bool) -> list[Proposed]:
    """The k-th make-up day of a holiday gives the lessons of the k-th day that was moved for it."""
    moved: dict[str, list[dt.date]] = defaultdict(list)
    for day, holiday in sorted(kept.in_lieu_days.items()):
        if day.year == year:
            moved[holiday].append(day)
    found = [
        Proposed(day, DayKind.OFF, _name(kept, holiday, chinese))
        for day, holiday in kept.holidays.items()
        if day.year == year
    ]
    for day, holiday in sorted(kept.workdays.items()):
        if day.year == year:
            source = moved[holiday].pop(0) if moved[holiday] else None
            weekday = source.weekday() if source and source.weekday() < 5 else 0
            found.append(Proposed(day, DayKind.SCHOOL, _name(kept, holiday, chinese), weekday))
    return sorted(found, key=lambda each: each.date)


def _name(kept: Any, holiday: str, chinese: bool) -> str:
    known = {str(each.value): str(each.chinese) for each in kept.Holiday}
    name = str(getattr(holiday, "value", holiday))
    return known.get(name, name) if chinese else name


def _statutory(year: int, country: str, *, chinese: bool) -> list[Proposed]:
    holidays = importlib.import_module("holidays")
    try:
        known = holidays.country_holidays(country, years=year, language="zh_CN" if chinese else "en_US")
    except NotImplementedError:
        raise BadCalendar(
            f"no list of holidays knows the country {country!r}; write two letters, as in CN or GB"
        ) from None
    return [Proposed(day, DayKind.OFF, name[:60]) for day, name in sorted(known.items())]
