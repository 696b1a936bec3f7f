"""Schools: opened once, then found by name or because there is only one."""

import re
from zoneinfo import available_timezones

from sqlalchemy import select
from sqlalchemy.orm import Session

from server import clock
from server.db import db
from server.errors import Refused
from server.schools.models import School

LOCALES = ("zh_Hans_CN", "en")


class BadSchool(Refused):
    """No such school, or none that could be opened; the text says what to write instead."""


def add(
    session: Session,
    school_id: str,
    *,
    name: str,
    sign: str,
    timezone: str = "Asia/Shanghai",
    locale: str = "zh_Hans_CN",
) -> School:
    """Open a school. Terms, bells and policies have defaults, so its first tap counts. Raises BadSchool."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,31}", school_id):
        raise BadSchool(f"{school_id!r} cannot be a school's id: use a-z, 0-9 and '-', at most 32, as in no2-middle")
    if session.get(School, school_id):
        raise BadSchool(f"there is a school {school_id!r} already")
    if not 1 <= len(sign) <= 20 or not 1 <= len(name) <= 100:
        raise BadSchool("name and sign must not be empty; a sign has at most 20 characters, for it opens every text")
    if timezone not in available_timezones():
        raise BadSchool(f"{timezone!r} is not a time zone; write it as in Asia/Shanghai or Europe/London")
    if locale not in LOCALES:
        raise BadSchool(f"{locale!r} is not a language of this version; there are: {', '.join(LOCALES)}")
    school = School(id=school_id, name=name, sign=sign, timezone=timezone, locale=locale, created_at=clock.now())
    session.add(school)
    return school


def find(school_id: str | None) -> School:
    """The school of that id; without one, the only school there is. Raises BadSchool."""
    schools = list(db.session.scalars(select(School).order_by(School.id)))
    if not schools:
        raise BadSchool("there is no school yet; open one with: gatebell school add")
    names = ", ".join(school.id for school in schools)
    if school_id is None and len(schools) > 1:
        raise BadSchool(f"there are several schools; say which with --school: {names}")
    for school in schools:
        if school_id in (None, school.id):
            return school
    raise BadSchool(f"there is no school {school_id!r}; there are: {names}")
