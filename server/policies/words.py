"""Every policy that staff may change, and what each of its settings means. A new policy is one line in POLICIES."""

from dataclasses import dataclass
from typing import Any

from flask_babel import lazy_gettext as _

from server.absence.rules import AbsencePolicy
from server.attendance.rules import Policy as DayPolicy
from server.calendar.rules import BoardingPolicy
from server.gates.rules import SelfTestPolicy
from server.notify.rules import GatePolicy


@dataclass(frozen=True)
class Shown:
    """One policy on the page; `judges`: pupils' days depend on it, and past ones are judged again."""

    kind: type[Any]
    title: Any
    hint: Any
    judges: bool = False


@dataclass(frozen=True)
class Field:
    """What a setting is called, what it does, and its unit."""

    name: Any
    meaning: Any
    unit: Any = ""


POLICIES = (
    Shown(DayPolicy, _("Late, early, absent"), _("From which minute a pupil counts as late or missing"), judges=True),
    Shown(BoardingPolicy, _("Boarders"), _("Who sleeps at school and when they must be back"), judges=True),
    Shown(GatePolicy, _("Texts from the gate"), _("What families are told when a child comes and goes")),
    Shown(
        AbsencePolicy, _("Absence alerts"), _("When families are asked where a child is, and when somebody looks first")
    ),
    Shown(SelfTestPolicy, _("Self-test of the gates"), _("Whether gates are tried before the first bell")),
)

_MINUTES, _PER_CENT = _("minutes"), _("per cent")
FIELDS = {
    "attendance.Policy.grace": Field(
        _("Grace"), _("Who comes so many minutes after the bell is still on time."), _MINUTES
    ),
    "attendance.Policy.early": Field(
        _("Left early"), _("Who goes more than so many minutes before the last bell has left early."), _MINUTES
    ),
    "attendance.Policy.absent_after": Field(
        _("Missing after"),
        _("So long after the bell a pupil whom nobody has seen counts as missing. Families are asked from then on."),
        _MINUTES,
    ),
    "calendar.BoardingPolicy.timetables": Field(
        _("Boarding timetables"),
        _(
            "All classes with one of these timetables board. Write several with commas."
            " Single boarders are marked on their own."
        ),
    ),
    "calendar.BoardingPolicy.return_weekday": Field(
        _("Day of return"), _("On this day boarders come back; the boarding week begins with it.")
    ),
    "calendar.BoardingPolicy.return_minute": Field(
        _("Back by"), _("Who has not come in by then is listed as not back.")
    ),
    "calendar.BoardingPolicy.warn": Field(
        _("List who is not back"), _("Without it nobody looks for boarders who have not returned.")
    ),
    "notify.GatePolicy.arrivals": Field(_("Tell arrivals"), _("Families get a text when their child comes in.")),
    "notify.GatePolicy.departures": Field(_("Tell departures"), _("Families get a text when their child goes out.")),
    "notify.GatePolicy.fresh_minutes": Field(
        _("On time"), _("A text that goes out later than this after the tap says that it comes late."), _MINUTES
    ),
    "notify.GatePolicy.max_age_minutes": Field(
        _("Too old"), _("What happened longer ago is kept in the records and told to nobody."), _MINUTES
    ),
    "absence.AbsencePolicy.alerts": Field(
        _("Ask families"), _("When a child is missing, its contacts are asked one after the other.")
    ),
    "absence.AbsencePolicy.stopped": Field(
        _("Emergency stop"),
        _("No alert goes out by itself; every one waits for a person. For days on which something is wrong."),
    ),
    "absence.AbsencePolicy.wait_minutes": Field(
        _("Wait for an answer"), _("After so long without an answer the next contact is asked."), _MINUTES
    ),
    "absence.AbsencePolicy.most_contacts": Field(
        _("Contacts"), _("So many contacts are asked by text; after the last of them a person has to call.")
    ),
    "absence.AbsencePolicy.late_wait_minutes": Field(
        _("Wait after \u201clate\u201d"),
        _("A family says that the child comes late: so long nobody looks further."),
        _MINUTES,
    ),
    "absence.AbsencePolicy.way_wait_minutes": Field(
        _("Wait after \u201con the way\u201d"),
        _("A family says that the child is on its way: so long nobody looks further."),
        _MINUTES,
    ),
    "absence.AbsencePolicy.class_share": Field(
        _("Too many of a class"),
        _("When so many of a class are missing, a person looks before anybody is asked."),
        _PER_CENT,
    ),
    "absence.AbsencePolicy.grade_share": Field(_("Too many of a grade"), _("The same for a whole grade."), _PER_CENT),
    "absence.AbsencePolicy.school_share": Field(
        _("Too many of the school"), _("The same for the whole school."), _PER_CENT
    ),
    "absence.AbsencePolicy.times_usual": Field(
        _("More than usual"),
        _("The shares above only count when so many times as many are missing as on other days."),
        _("times"),
    ),
    "absence.AbsencePolicy.hold_unusual_days": Field(
        _("Hold on unusual days"), _("On make-up days and after holidays a person looks before anybody is asked.")
    ),
    "gates.SelfTestPolicy.self_test": Field(
        _("Test every morning"), _("Every gate in use tests itself before the first bell of a school day.")
    ),
    "gates.SelfTestPolicy.minutes_before_bell": Field(
        _("How long before"), _("So long before the first bell the gates are tested."), _MINUTES
    ),
}
