"""What a guardian's text asks for, read strictly: a word too much or a date that is not sure, and a person reads it."""

import re
import unicodedata
from dataclasses import dataclass
from datetime import date, timedelta

NOON = 12 * 3600
DAY = 86_400
FARTHEST = timedelta(days=60)
MOST_DAYS = 14  # what a text may ask for

_TRIGGER = re.compile(r"请假|病假|事假|\bleave\b|\babsent\b|\bsick\b|\bill\b")
_SICK = re.compile(
    r"病|发烧|发热|感冒|咳嗽|肚子疼|不舒服|医院|看医生|\b(?:sick|ill|fever|flu|cold|cough|doctor|hospital)\b"
)
_NUMBERS = {"一": 1, "两": 2, "二": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "one": 1, "two": 2, "three": 3}
_DATE = (
    r"(?:(\d{4})-(\d{1,2})-(\d{1,2})|(\d{1,2})月(\d{1,2})[日号]?"
    r"|(大?后天|明天|今天|the day after tomorrow|tomorrow|today))"
)
_SAME_MONTH = re.compile(r"(\d{1,2})月(\d{1,2})[日号]?\s*(?:到|至|-|~)\s*(\d{1,2})[日号]")
_RANGE = re.compile(rf"(?:从|from )?\s*{_DATE}\s*(?:到|至|-|~|—|to|until)\s*{_DATE}")
_ONE = re.compile(rf"(?:on )?{_DATE}")
_TIMES = re.compile(r"(?:from )?(\d{1,2}):(\d{2})\s*(?:到|至|-|~|—|to)\s*(\d{1,2}):(\d{2})")
_LASTS = re.compile(
    r"(?:for )?(?<![\d一两二三四五六七八九十])(\d{1,2}|[一两二三四五六七]|one|two|three|a)\s*(?:天|days?\b)"
)
_HALF = re.compile(r"上午|下午|\bmorning\b|\bafternoon\b")
_POLITE = re.compile(
    r"请假|病假|事假|您好|你好|老师|请问|麻烦|谢谢|孩子|因为|需要|想要|想|要|一下|\b(?:sick|personal|ill|absent|leave|please|thanks?"
    r"|thank you|hello|hi|dear|teacher|my|child|son|daughter|is|will|be|needs?|asks?|for|a|has|the|with|because|of"
    r"|on)\b"
)
# What makes a text more than a plain request: numbers and days that were not understood, no, maybe, questions.
_DOUBT = re.compile(
    r"\d|[?？]|吗|不|没|取消|改|别|或|可能|也许|周|星期|礼拜|月|号|日|点|半|昨|前天|下午|上午|早|晚|中午|小时|分钟|明|后天|今|天"
    r"|\b(?:not|no|don.?t|cancel|maybe|perhaps|or|if|can|may|when|what|mon|tues?|wed|thu|fri|sat|sun\w*|\w+day|week\w*"
    r"|month\w*|next|last|yesterday|hours?|until|am|pm|noon|half|days?|january|february|march|april|june|july|august"
    r"|september|october|november|december)\b"
)
_REASON_NO = re.compile(r"不舒服")
_YES = {"是", "对", "是的", "对的", "确认", "yes", "y", "ok", "好", "好的"}
_NO = {"否", "不是", "不对", "错", "no", "不"}


@dataclass(frozen=True)
class Spoken:
    """A request understood: first and last date, and which seconds of them."""

    kind: str
    first: date
    last: date
    starts: int  # seconds of the first date
    ends: int  # seconds of the last


def plain(body: str) -> str:
    """Any width and case, single spaces."""
    return " ".join(unicodedata.normalize("NFKC", body).lower().split())


def is_request(body: str) -> bool:
    """Whether it is about leave at all."""
    return bool(_TRIGGER.search(plain(body)))


def yes_or_no(body: str) -> bool | None:
    """What an answer says by itself; None for anything more."""
    word = plain(body).strip(" .。,，!！\"'“”")
    return True if word in _YES else False if word in _NO else None


def understood(body: str, *, names: tuple[str, ...], today: date, second: int) -> Spoken | None:
    """What a text asks for, or None when a person has to read it. `names` are the child's; `second` is now."""
    text = plain(body)
    for name in names:
        text = text.replace(plain(name), " ")
    dates, text = _dates(_SAME_MONTH.sub(r"\1月\2日到\1月\3日", text), today)
    times, text = _cut(_TIMES, text)
    lasts, text = _cut(_LASTS, text)
    half, text = _cut(_HALF, text)
    if dates is None or _is_doubtful(text):
        return None
    span = _span(dates, _count(lasts), today, second)
    seconds = _seconds(times, half)
    if span is None or seconds is None or (seconds != (0, DAY) and span[0] != span[1]):
        return None
    if span[0] == today and second >= seconds[1]:
        return None
    return Spoken("sick" if _SICK.search(plain(body)) else "personal", *span, *seconds)


def _is_doubtful(rest: str) -> bool:
    """Whether something is left that could mean another day, another time or no leave at all."""
    return bool(_DOUBT.search(_POLITE.sub(" ", _REASON_NO.sub(" ", rest))))


def _cut(pattern: re.Pattern[str], text: str) -> tuple[re.Match[str] | None, str]:
    found = pattern.search(text)
    return found, text if found is None else f"{text[: found.start()]} {text[found.end() :]}"


def _dates(text: str, today: date) -> tuple[tuple[date, ...] | None, str]:
    """The dates said, none to two of them; None for one that does not exist or is not near."""
    found, rest = _cut(_RANGE, text)
    groups = [found.groups()[:6], found.groups()[6:]] if found else []
    if not found:
        found, rest = _cut(_ONE, text)
        groups = [found.groups()] if found else []
    dates = [_date(group, today) for group in groups]
    near = [each for each in dates if each is not None and today <= each <= today + FARTHEST]
    return (None if len(near) != len(dates) else tuple(near)), rest


def _date(group: tuple[str | None, ...], today: date) -> date | None:
    year, month, day, month_only, day_only, word = group
    if word:
        ahead = {"今天": 0, "today": 0, "明天": 1, "tomorrow": 1, "后天": 2, "the day after tomorrow": 2, "大后天": 3}
        return today + timedelta(days=ahead[word])
    try:
        if year:
            return date(int(year), int(month or 0), int(day or 0))
        found = date(today.year, int(month_only or 0), int(day_only or 0))
        return found if found >= today else date(today.year + 1, found.month, found.day)
    except ValueError:
        return None


def _count(found: re.Match[str] | None) -> int | None:
    if found is None:
        return None
    word = found.group(1)
    return 1 if word == "a" else _NUMBERS.get(word) or int(word)


def _span(dates: tuple[date, ...], count: int | None, today: date, second: int) -> tuple[date, date] | None:
    """First and last date. Days without a date begin today, as long as it is morning."""
    if len(dates) == 2:
        days = (dates[1] - dates[0]).days + 1
        agreed = count is None or count == days
        return (dates[0], dates[1]) if agreed and 1 <= days <= MOST_DAYS else None
    if count is not None and not 1 <= count <= MOST_DAYS:
        return None
    if dates:
        return dates[0], dates[0] + timedelta(days=(count or 1) - 1)
    if count is None or second >= NOON:
        return None
    return today, today + timedelta(days=count - 1)


def _seconds(times: re.Match[str] | None, half: re.Match[str] | None) -> tuple[int, int] | None:
    """The part of the day."""
    if times is not None:
        first, minute, last, until = (int(each) for each in times.groups())
        span = first * 3600 + minute * 60, last * 3600 + until * 60
        return span if half is None and 0 <= span[0] < span[1] <= DAY and minute < 60 and until < 60 else None
    if half is None:
        return 0, DAY
    return (0, NOON) if half.group() in {"上午", "morning"} else (NOON, DAY)
