"""How many are inside, as this gate knows it with nobody to ask: the server's last word, and its own taps since."""

import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from gateway import salvage
from gateway.cards import Lists
from gateway.gatelist import NOBODY
from gateway.seal import Seal
from gateway.wire import Direction, Tap

FRESH_MS = 720_000  # the server speaks every five minutes at least
OVERLAP_MS = 60_000  # two clocks may differ so much, and a tap be on its way so long
MOST_TAPS = 20_000


class Doubt(StrEnum):
    """Why the number may be wrong, in both languages of the page."""

    NO_LIST = "没有学生名单，只算本门刷卡 / no list from the server: only this gate's own taps are counted"
    NO_WORD = "服务器已久未更新，其他门的出入未计 / long no word from the server: other gates' taps are missing"
    NO_CLOCK = "本门时钟不准 / this gate's clock is not set"
    STRANGERS = "有陌生卡刷过，持卡人未计入 / cards that nobody holds were read: their bearers are not counted"
    BOTH_WAYS = "部分刷卡方向是推断的 / the direction of some taps is inferred"


@dataclass(frozen=True)
class Count:
    """The answer; `by_group` in the order of names, `word_at` UTC milliseconds of the server's last word."""

    inside: int
    by_group: tuple[tuple[str, int], ...]
    word_at: int | None
    entered: int
    left: int
    strangers: int
    doubts: tuple[Doubt, ...]


def taps_since(spool: Path, seal: Seal, word_at: int) -> list[Tap]:
    """This gate's taps that the server's word of that time may not hold. Raises sqlite3.Error."""
    sql = "SELECT body FROM tap WHERE stored_at IS NULL OR stored_at >= ? ORDER BY seq DESC LIMIT ?"
    with closing(sqlite3.connect(f"file:{spool}?mode=ro", uri=True, timeout=5)) as db:
        bodies = db.execute(sql, (word_at - OVERLAP_MS, MOST_TAPS)).fetchall()
    rows = (salvage.own(body, seal) for (body,) in reversed(bodies))
    return [row.tap for row in rows if row is not None]


def count(lists: Lists | None, taps: Sequence[Tap], now: int | None) -> Count:
    """Count those inside. `now`: UTC milliseconds, None when the clock is not set."""
    inside: set[int | str] = set()
    strangers: set[str] = set()
    if lists is not None:
        inside.update(number for number in lists.inside.numbers() if number < len(lists.groups))
    ways: Counter[str] = Counter()
    for tap in taps:
        who = tap.card if lists is None else lists.holder(tap.card)
        if who is None or who == NOBODY:
            strangers.add(tap.card)
            continue
        ways[_moved(inside, who, tap.direction)] += 1
    return Count(
        inside=len(inside),
        by_group=_groups(lists, inside),
        word_at=lists.inside.at if lists else None,
        entered=ways[Direction.IN],
        left=ways[Direction.OUT],
        strangers=len(strangers),
        doubts=tuple(_doubts(lists, taps, now, strangers)),
    )


def _moved(inside: set[int | str], who: int | str, direction: Direction) -> Direction:
    """Note one tap; gives the way that it went: where a reader serves both ways, the other way than before."""
    if direction is Direction.BOTH:
        direction = Direction.OUT if who in inside else Direction.IN
    if direction is Direction.IN:
        inside.add(who)
    else:
        inside.discard(who)
    return direction


def _groups(lists: Lists | None, inside: Iterable[int | str]) -> tuple[tuple[str, int], ...]:
    if lists is None:
        return ()
    found = Counter(lists.groups[who] for who in inside if isinstance(who, int))
    return tuple((group.name, found[number]) for number, group in enumerate(lists.cards.groups))


def _doubts(lists: Lists | None, taps: Iterable[Tap], now: int | None, strangers: set[str]) -> Iterable[Doubt]:
    if lists is None:
        yield Doubt.NO_LIST
    elif now is not None and now - lists.inside.at > FRESH_MS:
        yield Doubt.NO_WORD
    if now is None:
        yield Doubt.NO_CLOCK
    if strangers:
        yield Doubt.STRANGERS
    if any(tap.direction is Direction.BOTH for tap in taps):
        yield Doubt.BOTH_WAYS


def lines(found: Count) -> list[str]:
    """For people, plain text."""
    said = [f"校内 inside: {found.inside}"]
    said += [f"  {name}: {number}" for name, number in found.by_group]
    word = clock_time(found.word_at) if found.word_at else "无 none"
    said.append(f"服务器最后消息 last word from the server: {word}")
    said.append(
        f"此后本门 at this gate since: 进 in {found.entered}, 出 out {found.left}, 陌生卡 strange {found.strangers}"
    )
    return said + [f"! {doubt}" for doubt in found.doubts]


def clock_time(at: int) -> str:
    """A time as this machine's clock shows it."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at / 1000))
