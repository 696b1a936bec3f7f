"""Attendance and rosters in the shapes of other systems: Ed-Fi, CEDS, OneRoster 1.2."""

import datetime as dt
import tempfile
import uuid
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from server.accounts.models import User
from server.attendance import summary
from server.attendance.rules import State
from server.people.models import Pupil, SchoolClass
from server.reports import registers, rules, service
from server.reports.rules import Counts, Key, Span
from server.reports.service import Whose
from server.schools.models import School

EDFI = "uri://ed-fi.org/AttendanceEventCategoryDescriptor#"
# Ed-Fi 6.1 AttendanceEventCategoryDescriptor and CEDS AttendanceStatus; early departure comes before them.
CATEGORIES: dict[Counts, tuple[str, str]] = {
    Counts.ATTEND: ("In Attendance", "Present"),
    Counts.AUTHORISED: ("Excused Absence", "ExcusedAbsence"),
    Counts.UNAUTHORISED: ("Unexcused Absence", "UnexcusedAbsence"),
}
TARDY, EARLY = ("Tardy", "Tardy"), ("Early departure", "EarlyDeparture")
SILENT = frozenset({State.UNCONFIRMED, State.PENDING})
Event = tuple[Pupil, SchoolClass, dt.date, summary.Said, Key, rules.Code]


@dataclass(frozen=True)
class Held:
    """What files are written from; all of it is read before the first line goes out."""

    policy: rules.Policy
    lines: dict[tuple[uuid.UUID, dt.date], str]
    pupils: list[tuple[Pupil, SchoolClass]]


def held(user: User, span: Span) -> Held:
    """The days of all visible pupils."""
    policy, lines = service.policy(user.school_id, span), service.days_of(user, Whose(), span)
    return Held(policy, lines, service.pupils(user, Whose()))


def events(held: Held) -> Iterator[Event]:
    """Every session of every pupil of which something is known, in the order of class, seat and day."""
    used, register_open = held.policy.used, held.policy.register_open
    dates = sorted({date for _pupil, date in held.lines})
    for pupil, school_class in held.pupils:
        for date in dates:
            for place, said in enumerate(summary.read(held.lines.get((pupil.id, date), ""))):
                if said.state not in SILENT:
                    key = rules.key(said, place, register_open)
                    yield pupil, school_class, date, said, key, used[key]


def category(said: summary.Said, code: rules.Code) -> tuple[str, str] | None:
    """What Ed-Fi and CEDS call a session; None for what is not counted."""
    if code.counts_as is Counts.NOT_COUNTED:
        return None
    if code.counts_as is Counts.ATTEND and said.state is not State.EXCUSED:
        if said.late and said.state is State.LATE:
            return TARDY
        if said.early:
            return EARLY
    return CATEGORIES[code.counts_as]


def edfi(school_id: str, held: Held) -> Iterator[list[str]]:
    """StudentSchoolAttendanceEvent, one a session."""
    yield ["schoolReference.schoolId", "studentReference.studentUniqueId", "sessionReference.sessionName"] + [
        "eventDate",
        "attendanceEventCategoryDescriptor",
        "attendanceEventReason",
    ]
    for pupil, _class, date, said, key, code in events(held):
        found = category(said, code)
        if found:
            yield [school_id, pupil.number, said.session, f"{date}", EDFI + found[0], key]


def ceds(school_id: str, held: Held) -> Iterator[list[str]]:
    """CEDS elements, one line a session."""
    yield ["SchoolIdentifier", "StudentIdentifier", "AttendanceEventDate", "AttendanceEventType"] + [
        "ClassSectionIdentifier",
        "AttendanceStatus",
        "Code",
    ]
    for pupil, school_class, date, said, _key, code in events(held):
        found = category(said, code)
        if found:
            kind = "ClassSectionAttendance"
            yield [school_id, pupil.number, f"{date}", kind, school_class.name, found[1], code.code]


ROSTER = {
    "orgs": "sourcedId,status,dateLastModified,name,type,identifier,parentSourcedId",
    "academicSessions": "sourcedId,status,dateLastModified,title,type,startDate,endDate,parentSourcedId,schoolYear",
    "courses": "sourcedId,status,dateLastModified,schoolYearSourcedId,title,courseCode,grades,orgSourcedId,subjects,"
    "subjectCodes",
    "classes": "sourcedId,status,dateLastModified,title,grades,courseSourcedId,classCode,classType,location,"
    "schoolSourcedId,termSourcedIds,subjects,subjectCodes,periods",
    "users": "sourcedId,status,dateLastModified,enabledUser,username,userIds,givenName,familyName,middleName,"
    "identifier,email,sms,phone,agentSourcedIds,grades,password,userMasterIdentifier,preferredGivenName,"
    "preferredMiddleName,preferredFamilyName,primaryOrgSourcedId,pronouns",
    "roles": "sourcedId,status,dateLastModified,userSourcedId,roleType,role,beginDate,endDate,orgSourcedId,"
    "userProfileSourcedId",
    "enrollments": "sourcedId,status,dateLastModified,classSourcedId,schoolSourcedId,userSourcedId,role,primary,"
    "beginDate,endDate",
}
ABSENT = ("categories", "classResources", "courseResources", "demographics", "lineItems", "resources", "results")
ATTENDANCE = ("userSourcedId", "classSourcedId", "date", "session", "code", "countsAs", "minutesLate", "minutesEarly")


def oneroster(school: School, held: Held, span: Span) -> IO[bytes]:
    """A zip of OneRoster 1.2 (bulk) with our own attendance.csv beside it, for the standard has no such file."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - it is read by the answer, and gone when closed
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, rows in _files(school, held, span):
            with archive.open(f"{name}.csv", "w") as member:
                for line in registers.as_csv(rows):
                    member.write(line.replace(registers.BOM.encode(), b""))
    file.seek(0)
    return file


def _files(school: School, held: Held, span: Span) -> Iterator[tuple[str, Iterator[list[str]]]]:
    yield "manifest", _manifest()
    for name, rows in _records(school, span, held.pupils).items():
        yield name, iter([ROSTER[name].split(","), *(_cells(name, row) for row in rows)])
    yield "attendance", _attendance(held)


def _manifest() -> Iterator[list[str]]:
    yield ["propertyName", "value"]
    yield from (["manifest.version", "1.0"], ["oneroster.version", "1.2"])
    yield from ([f"file.{name}", "bulk"] for name in ROSTER)
    yield from ([f"file.{name}", "absent"] for name in ABSENT)
    yield from (["source.systemName", "Gatebell"], ["source.systemCode", "gatebell"])


def _cells(name: str, row: dict[str, str]) -> list[str]:
    return [row.get(column, "") for column in ROSTER[name].split(",")]


def _records(school: School, span: Span, everybody: list[tuple[Pupil, SchoolClass]]) -> dict[str, list[dict[str, str]]]:
    classes = list({school_class.id: school_class for _pupil, school_class in everybody}.values())
    year = f"{school.id}-{span.first}"
    dates = {"startDate": f"{span.first}", "endDate": f"{span.last}", "schoolYear": f"{span.last.year}"}
    return {
        "orgs": [{"sourcedId": school.id, "name": school.name, "type": "school"}],
        "academicSessions": [{"sourcedId": year, "title": year, "type": "term", **dates}],
        "courses": [{"sourcedId": f"{school.id}-home", "title": "Homeroom", "orgSourcedId": school.id}],
        "classes": [_class(school, each, year) for each in classes],
        "users": [_user(school, *each) for each in everybody],
        "roles": [_role(school, pupil) for pupil, _class in everybody],
        "enrollments": [_enrolment(school, *each) for each in everybody],
    }


def _class(school: School, school_class: SchoolClass, term: str) -> dict[str, str]:
    given = {"sourcedId": f"{school_class.id}", "title": school_class.name, "grades": f"{school_class.grade:02d}"}
    course = {"courseSourcedId": f"{school.id}-home", "classType": "homeroom"}
    return given | course | {"schoolSourcedId": school.id, "termSourcedIds": term}


def _user(school: School, pupil: Pupil, school_class: SchoolClass) -> dict[str, str]:
    """A Chinese name is not cut in two: which part is whose nobody has told us."""
    name = {"givenName": pupil.name, "familyName": pupil.name}
    given = {"sourcedId": f"{pupil.id}", "enabledUser": "true", "username": pupil.number, "identifier": pupil.number}
    return given | name | {"grades": f"{school_class.grade:02d}", "primaryOrgSourcedId": school.id}


def _role(school: School, pupil: Pupil) -> dict[str, str]:
    given = {"sourcedId": f"{pupil.id}-role", "userSourcedId": f"{pupil.id}", "orgSourcedId": school.id}
    return given | {"roleType": "primary", "role": "student"}


def _enrolment(school: School, pupil: Pupil, school_class: SchoolClass) -> dict[str, str]:
    given = {"sourcedId": f"{pupil.id}-home", "classSourcedId": f"{school_class.id}", "userSourcedId": f"{pupil.id}"}
    return given | {"schoolSourcedId": school.id, "role": "student", "primary": "false"}


def _attendance(held: Held) -> Iterator[list[str]]:
    yield list(ATTENDANCE)
    for pupil, school_class, date, said, _key, code in events(held):
        minutes = [str(said.late), str(said.early)]
        yield [f"{pupil.id}", f"{school_class.id}", f"{date}", said.session, code.code, code.counts_as, *minutes]
