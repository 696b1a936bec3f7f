"""A second, slow judge to compare with: a day as a row of half-minute boxes, each inside or not, known or not."""

from dataclasses import dataclass

from server.attendance import rules

STEP = 30  # seconds a box; every time and span that it is given is a multiple
BOXES = 86_400 // STEP
MINUTE = 60 // STEP


@dataclass(frozen=True)
class Facts:
    """What rules.judge takes, in one hand."""

    sessions: tuple[rules.Session, ...]
    policy: rules.Policy
    now: int
    taps: tuple[rules.Tap, ...] = ()
    leave: tuple[rules.Leave, ...] = ()
    marks: tuple[rules.Mark, ...] = ()
    gaps: tuple[rules.Gap, ...] = ()


def judge(facts: Facts) -> tuple[dict[str, tuple[str, int, int]], bool, list[str]]:
    """Sessions as (state, late, early), whether inside, and the flags."""
    now = facts.now // STEP
    known = [tap for tap in facts.taps if tap.at <= facts.now]
    ins = {tap.at // STEP for tap in known if tap.trusted and tap.direction == "in"}
    outs = {tap.at // STEP for tap in known if tap.trusted and tap.direction == "out"}
    flags = _odd_taps(ins, outs)
    inside = [False] * BOXES
    for box in range(now):
        inside[box] = box not in outs and (box in ins or (box > 0 and inside[box - 1]))
    is_in = now not in outs and (now in ins or (now > 0 and inside[now - 1]))
    closing = max((session.ends // STEP for session in facts.sessions), default=None)
    if is_in and closing is not None and now >= closing + 60 * MINUTE:
        flags.add("exit_unknown")
        is_in = False
        inside[closing:] = [False] * (BOXES - closing)
    if any(not tap.trusted for tap in known):
        flags.add("time_uncertain")
    if not facts.sessions and (ins or outs):
        flags.add("tap_on_off_day")
    strays = {out for out in outs if not any(entered <= out for entered in ins)}
    assumed = {latest for out in strays if (latest := _latest(facts, out))}
    found = {}
    for session in facts.sessions:
        gate, seen = _by_gate(session, facts, inside, outs, assumed, flags)
        found[session.name] = _marked(session, facts, gate, seen, flags)
    return found, is_in, sorted(flags)


def _odd_taps(ins: set[int], outs: set[int]) -> set[str]:
    row = sorted([(box, "in") for box in ins] + [(box, "out") for box in outs])
    flags = {"in_in" for (_, before), (_, after) in zip(row, row[1:], strict=False) if before == after == "in"}
    for index, (_, direction) in enumerate(row):
        entered_before = any(earlier == "in" for _, earlier in row[:index])
        if direction == "out" and not entered_before:
            flags.add("entry_unknown")
        elif direction == "out" and row[index - 1][1] == "out":
            flags.add("out_out")
    return flags


def _latest(facts: Facts, box: int) -> str | None:
    begun = {session.starts: session.name for session in facts.sessions if session.starts // STEP <= box}
    return begun[max(begun)] if begun else None


def _by_gate(session, facts, inside, outs, assumed, flags):  # type: ignore[no-untyped-def]
    boxes = list(range(session.starts // STEP, session.ends // STEP))
    while boxes and _away(boxes[0], facts):
        boxes.pop(0)
    while boxes and _away(boxes[-1], facts):
        boxes.pop()
    excused = not boxes
    boxes = boxes or list(range(session.starts // STEP, session.ends // STEP))
    there = [box for box in boxes if inside[box]]
    seen = bool(there) or session.name in assumed
    if excused:
        flags |= {"present_on_leave"} if seen else set()
        return ("present" if seen else "excused", 0, 0), seen
    if there:
        late_by, gone = there[0] - boxes[0], there[-1] + 1
        early_by = boxes[-1] + 1 - gone if gone in outs else 0
        late = late_by > facts.policy.grace * MINUTE
        early = early_by // MINUTE if early_by > facts.policy.early * MINUTE else 0
        return ("late" if late else "present", late_by // MINUTE if late else 0, early), True
    if seen:
        return ("present", 0, 0), True
    return (_missing(boxes[0], facts), 0, 0), False


def _away(box: int, facts: Facts) -> bool:
    return any(leave.starts // STEP <= box < leave.ends // STEP for leave in facts.leave)


def _missing(start: int, facts: Facts) -> str:
    cut_off = start + facts.policy.absent_after * MINUTE
    if facts.now // STEP < cut_off:
        return "pending"
    window = set(range(start - 60 * MINUTE, cut_off))
    silent = any(window & set(range(gap.starts // STEP, gap.ends // STEP)) for gap in facts.gaps)
    unsure = any(not tap.trusted and tap.direction == "in" and tap.at <= facts.now for tap in facts.taps)
    return "unconfirmed" if silent or unsure else "absent"


def _marked(session, facts, gate, seen, flags):  # type: ignore[no-untyped-def]
    marks = [mark for mark in facts.marks if mark.session == session.name]
    if "absent" in {mark.mark for mark in marks}:
        flags |= {"seen_by_gate_not_class"} if seen else set()
        return ("absent", 0, 0)
    if seen or not marks:
        return gate
    flags.add("seen_by_teacher_not_gate")
    late = [mark.minutes for mark in marks if mark.mark == "late"]
    return ("late", max(late), 0) if late else ("present", 0, 0)
