"""Lists as a server makes them, for tests of a gate."""

import random
from collections.abc import Iterable, Mapping, Sequence

from gateway import gatelist
from gateway.gatelist import CardList, ExitList, Group, InsideList, Pass
from gateway.wire import ListKind, ListPart

KEY = bytes(range(32))
MORNING = 1_795_564_800_000  # 2026-11-25 08:00 in Shanghai
HOUR = 3_600_000
JUNIOR, SENIOR = Group("七（1）班", "junior"), Group("十（2）班", "senior")


def packed(
    pupils: Sequence[str] = (),
    *,
    lost: Iterable[str] = (),
    inside: Iterable[int] = (),
    strict: bool = False,
    free: Mapping[str, list[tuple[int, int]]] | None = None,
    passes: Iterable[Pass] = (),
    at: int = MORNING,
    days_from: int = MORNING - 8 * HOUR,
) -> dict[ListKind, bytes]:
    """The three lists of a school whose n-th pupil holds the n-th card, every second one a senior."""
    cards = gatelist.packed(
        CardList(
            key=KEY,
            groups=[JUNIOR, SENIOR],
            groups_of=gatelist.numbers(number % 2 for number in range(len(pupils))),
            cards=gatelist.records(
                [(gatelist.hashed(card, KEY), holder) for holder, card in enumerate(pupils)]
                + [(gatelist.hashed(card, KEY), gatelist.NOBODY) for card in lost]
            ),
        )
    )
    version = gatelist.version(cards)
    exits = ExitList(
        cards=version,
        strict=strict,
        starts=days_from,
        ends=days_from + 168 * HOUR,
        free=dict(free or {}),
        passes=list(passes),
    )
    there = InsideList(cards=version, at=at, holders=gatelist.bits(inside))
    return {
        ListKind.CARDS: cards,
        ListKind.EXITS: gatelist.packed(exits),
        ListKind.INSIDE: gatelist.packed(there),
    }


def parts(raw: Mapping[ListKind, bytes]) -> list[ListPart]:
    """All messages that bring these lists."""
    return [part for kind, each in raw.items() for part in gatelist.cut(kind, each)]


def many(count: int, *, seed: int = 7) -> list[str]:
    """So many different cards."""
    numbers = random.Random(seed).sample(range(1 << 40), count)
    return [f"em4100:{number:010X}" for number in numbers]
