"""`gatebell attendance judge`: days written as JSON lines, judged by the product's own rules; needs no database."""

import re
from collections.abc import Iterator
from typing import IO, Annotated, Any, Literal

import click
import msgspec

from server.attendance import rules


class BadCase(ValueError):
    """A line is not a case; the text names the place in it."""


class _Span(msgspec.Struct, frozen=True, rename={"starts": "from", "ends": "to"}):
    starts: str
    ends: str


class _Leave(_Span, frozen=True):
    kind: str = ""


class _Session(msgspec.Struct, frozen=True):
    name: str
    starts: str
    ends: str


class _Tap(msgspec.Struct, frozen=True, rename={"direction": "dir"}):
    at: str
    direction: Literal["in", "out"]
    clock: Literal["synced", "rtc", "unsynced"] = "synced"


class _Mark(msgspec.Struct, frozen=True):
    session: str
    mark: Literal["present", "absent", "late"]
    minutes: Annotated[int, msgspec.Meta(ge=0)] = 0


class _Case(msgspec.Struct, frozen=True):
    now: str
    sessions: tuple[_Session, ...]
    id: Any = None
    policy: rules.Policy = rules.Policy()
    taps: tuple[_Tap, ...] = ()
    leave: tuple[_Leave, ...] = ()
    marks: tuple[_Mark, ...] = ()
    gaps: tuple[_Span, ...] = ()


def seconds(text: str) -> int:
    """HH:MM or HH:MM:SS -> seconds after midnight; 24:00 is the day's end. Raises BadCase."""
    match = re.fullmatch(r"(\d\d?):([0-5]\d)(?::([0-5]\d))?", text)
    found = int(match[1]) * 3600 + int(match[2]) * 60 + int(match[3] or 0) if match else -1
    if not 0 <= found <= 86_400:
        raise BadCase(f"{text!r} is not a time of day; write HH:MM or HH:MM:SS")
    return found


def judged(line: bytes) -> dict[str, Any]:
    """The verdict on one case, as it is printed. Raises BadCase."""
    try:
        case = msgspec.json.decode(line, type=_Case)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadCase(str(error)) from None
    names = [session.name for session in case.sessions]
    if len(set(names)) < len(names):
        raise BadCase(f"two sessions have one name: {', '.join(names)} - at `$.sessions`")
    return {"id": case.id} | _printed(_day(case))


def _day(case: _Case) -> rules.Day:
    return rules.judge(
        sessions=[_session(session) for session in case.sessions],
        policy=case.policy,
        now=seconds(case.now),
        taps=[rules.Tap(seconds(tap.at), tap.direction, tap.clock != "unsynced") for tap in case.taps],
        leave=[rules.Leave(seconds(span.starts), seconds(span.ends), span.kind) for span in case.leave],
        marks=[rules.Mark(mark.session, mark.mark, mark.minutes) for mark in case.marks],
        gaps=[rules.Gap(seconds(span.starts), seconds(span.ends)) for span in case.gaps],
    )


def _session(session: _Session) -> rules.Session:
    starts, ends = seconds(session.starts), seconds(session.ends)
    if ends <= starts:
        raise BadCase(f"session {session.name!r} ends at {session.ends}, not after its start {session.starts}")
    return rules.Session(session.name, starts, ends)


def _printed(day: rules.Day) -> dict[str, Any]:
    return {"sessions": day.sessions, "inside": day.inside, "flags": day.flags}


def _case_id(line: bytes) -> Any:
    """The id of a line that is not a case, when it can be read at all."""
    try:
        read = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return read.get("id") if isinstance(read, dict) else None


def _lines(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(file, 1):
        stripped = line.removeprefix(b"\xef\xbb\xbf").strip()
        if stripped:
            yield number, stripped


@click.group()
def attendance() -> None:
    """Pupils' days."""


@attendance.command()
@click.argument("file", type=click.File("rb"))
@click.pass_context
def judge(context: click.Context, file: IO[bytes]) -> None:
    """Judge one day a line of FILE (JSON lines, `-` for standard input) and print one verdict a line."""
    bad = 0
    for number, line in _lines(file):
        try:
            verdict = judged(line)
        except BadCase as error:
            bad += 1
            click.echo(f"{file.name}: line {number}: {error}", err=True)
            verdict = {"id": _case_id(line), "error": str(error)}
        click.echo(msgspec.json.encode(verdict))
    if bad:
        click.echo(f"{bad} line(s) could not be judged", err=True)
        context.exit(1)


commands: list[click.Command] = [attendance]
