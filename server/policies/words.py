"""Every policy that staff may change, and what each of its settings means. A new policy is one line in POLICIES."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flask_babel import lazy_gettext as _

from server.absence.rules import AbsencePolicy
from server.attendance.rules import Policy as DayPolicy
from server.calendar.rules import BoardingPolicy
from server.cards.rules import Policy as ProofPolicy
from server.gates.rules import ExitPolicy, SelfTestPolicy
from server.leave.rules import LeavePolicy
from server.leavedesk.rules import WarningPolicy
from server.notify.rules import GatePolicy
from server.oddities.rules import Policy as OddPolicy
from server.register.rules import RegisterPolicy
from server.reports.rules import Policy as ReportPolicy
from server.rollcall.rules import DeskPolicy


@dataclass(frozen=True)
class Shown:
    """One policy on the page; `judges`: pupils' days depend on it, and past ones are judged again."""

    kind: type[Any]
    title: Any
    hint: Any
    judges: bool = False


@dataclass(frozen=True)
class Field:
    """What a setting is called, what it does, its unit, and what its choices are called."""

    name: Any
    meaning: Any
    unit: Any = ""
    choices: Mapping[str, Any] = field(default_factory=dict)


POLICIES = (
    Shown(DayPolicy, _("Late, early, absent"), _("From which minute a pupil counts as late or missing"), judges=True),
    Shown(BoardingPolicy, _("Boarders"), _("Who sleeps at school and when they must be back"), judges=True),
    Shown(GatePolicy, _("Texts from the gate"), _("What families are told when a child comes and goes")),
    Shown(
        AbsencePolicy, _("Absence alerts"), _("When families are asked where a child is, and when somebody looks first")
    ),
    Shown(RegisterPolicy, _("Class registers"), _("When an open register is reminded of, who may still correct it")),
    Shown(LeavePolicy, _("Leave"), _("Who may approve how many days")),
    Shown(WarningPolicy, _("Away often"), _("After how many days away somebody should ask")),
    Shown(ExitPolicy, _("Going out"), _("Whether a gate shows red to who may not leave yet")),
    Shown(OddPolicy, _("Odd uses of cards"), _("What nobody can do with a card of their own")),
    Shown(ProofPolicy, _("Cards that prove themselves"), _("What counts when a message comes late")),
    Shown(DeskPolicy, _("Visitors"), _("How long their names are kept")),
    Shown(ReportPolicy, _("Codes of the register"), _("Which letters stand in registers, and what they count as")),
    Shown(SelfTestPolicy, _("Self-test of the gates"), _("Whether gates are tried before the first bell")),
)

_MINUTES, _DAYS, _PER_CENT = _("minutes"), _("days"), _("per cent")
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
    "notify.GatePolicy.late_texts": Field(
        _("Tell late"), _("What happened longer ago than \u201cOn time\u201d is still told, and says so.")
    ),
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
    "register.RegisterPolicy.remind_after": Field(
        _("Remind after"),
        _("A register that is still open so long after the bell stands on Today. 0: nobody is reminded."),
        _MINUTES,
    ),
    "register.RegisterPolicy.forgetters": Field(
        _("Forgotten taps"), _("Who forgot the card so often within seven days is on the list.")
    ),
    "register.RegisterPolicy.correct_days": Field(
        _("Correct back"), _("So far back teachers may correct a day; the office may always."), _DAYS
    ),
    "leave.LeavePolicy.teacher_days": Field(
        _("Class teacher"), _("So many school days a class teacher may approve."), _DAYS
    ),
    "leave.LeavePolicy.grade_head_days": Field(
        _("Head of grade"), _("So many school days a head of grade may approve."), _DAYS
    ),
    "leave.LeavePolicy.office_days": Field(
        _("Office"), _("So many school days the office may approve; longer leave is for the head of the school."), _DAYS
    ),
    "leave.LeavePolicy.wait_minutes": Field(
        _("Waiting too long"), _("A request that nobody has decided for so long stands on Today."), _MINUTES
    ),
    "leave.LeavePolicy.link_days": Field(
        _("Link for families"), _("For so long a guardian can ask with the link that was texted."), _DAYS
    ),
    "leavedesk.WarningPolicy.first": Field(_("First look"), _("Away for so many school days in a row."), _DAYS),
    "leavedesk.WarningPolicy.second": Field(_("Second look"), _("Away for so many school days in a row."), _DAYS),
    "leavedesk.WarningPolicy.third": Field(_("Third look"), _("Away for so many school days in a row."), _DAYS),
    "leavedesk.WarningPolicy.fourth": Field(_("Fourth look"), _("Away for so many school days in a row."), _DAYS),
    "leavedesk.WarningPolicy.today_from": Field(
        _("On Today from"), _("From so many days in a row on it stands on Today, before that in the list alone."), _DAYS
    ),
    "leavedesk.WarningPolicy.same_weekday": Field(
        _("Same weekday"), _("Away on the same weekday so often within five weeks."), _("times")
    ),
    "leavedesk.WarningPolicy.sick_days": Field(
        _("Ill often"), _("Ill on so many days within the time below, in more than one stretch."), _DAYS
    ),
    "leavedesk.WarningPolicy.sick_within": Field(
        _("Ill within"), _("The school days over which days of illness are counted."), _DAYS
    ),
    "gates.ExitPolicy.strict_exits": Field(
        _("Only with permission"),
        _("In school hours the gate shows red to a pupil who goes out without leave or pass. The guard decides."),
    ),
    "gates.ExitPolicy.free_break": Field(
        _("Free break"),
        _("Between two sessions with so long a break pupils may go out, as at noon. 1440: never."),
        _MINUTES,
    ),
    "oddities.Policy.gates_seconds": Field(
        _("Two gates"), _("One card at two gates within so short a time is odd. 0 switches it off."), _("seconds")
    ),
    "oddities.Policy.between": Field(
        _("Longer or shorter walks"), _("Seconds between two gates, as in gate-1+gate-3 = 300.")
    ),
    "oddities.Policy.in_in": Field(
        _("In twice"), _("In again without having gone out. Switch it off where an exit has no reader.")
    ),
    "oddities.Policy.after_leaving": Field(
        _("Back after lessons"), _("In after having gone out, when this pupil\u2019s lessons are over.")
    ),
    "oddities.Policy.together_ms": Field(
        _("Two cards at once"),
        _(
            "Cards of two pupils at one reader within so short a time: one may carry the other\u2019s."
            " 0 switches it off."
        ),
        _("thousandths of a second"),
    ),
    "oddities.Policy.together_days": Field(
        _("More than chance"), _("The same two on so many of the last 30 days stand on Today."), _DAYS
    ),
    "cards.Policy.count_late": Field(
        _("Count late messages"),
        _("A genuine message that comes after a newer one of the same card still says that the pupil was there."),
    ),
    "rollcall.DeskPolicy.keep_days": Field(
        _("Keep visitors"), _("After so long a visitor\u2019s name and purpose are deleted."), _DAYS
    ),
    "reports.Policy.codes": Field(
        _("Set of codes"),
        _("The letters that stand for each session."),
        choices={"cn": _("Chinese schools"), "en-dfe": _("England, DfE 2024")},
    ),
    "reports.Policy.register_open": Field(
        _("Register open"),
        _("Who comes later than this after the bell gets the code for \u201cafter closing\u201d."),
        _MINUTES,
    ),
    "reports.Policy.own": Field(
        _("Own codes"),
        _(
            "Name = code and what it counts as (attend, authorised, unauthorised, not_counted), as in"
            " trip = G attend, late = V attend."
        ),
    ),
}
