"""Reports over the sample school: what they show, to whom, and what they leave in the trail."""

import csv
import io
import json
import zipfile
from xml.etree import ElementTree

import pytest
from sqlalchemy import select

from server.audit.models import AuditEntry
from server.db import db
from tests.server.site import Site


def cells(site: Site, url: str, login: str = "wangmin") -> list[list[str]]:
    """A CSV file as its cells."""
    text = site.visitor(login).get(url).get_data().decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text)))


@pytest.mark.parametrize("period", ["day", "week", "month", "term"])
def test_every_page_opens_for_every_time(site: Site, period: str) -> None:
    visitor = site.visitor("wangmin")
    for url in ("/reports", f"/reports/classes/{site.classes[0]}", f"/reports/pupils/{site.pupils[0][0]}"):
        assert "Attendance rate" in visitor.text(f"{url}?period={period}") or "出勤率" in visitor.text(url)


@pytest.mark.parametrize("asked", ["period=year", "day=yesterday", "grade=x", "day=0001-01-01"])
def test_what_is_no_time_is_refused_in_words(site: Site, asked: str) -> None:
    assert site.visitor("wangmin").get(f"/reports?{asked}").status_code == 422


def test_a_grade_that_is_not_the_users_is_not_found(site: Site) -> None:
    assert site.visitor("zhaoqiang").get("/reports?grade=10").status_code == 404
    assert site.visitor("zhaoqiang").get("/reports?grade=8").status_code == 200


def test_the_file_of_all_pupils_holds_those_of_the_scope_alone(site: Site) -> None:
    assert len(cells(site, "/reports/pupils.csv")) == 49
    assert len(cells(site, "/reports/pupils.csv", "lijing")) == 13


def test_the_register_and_the_report_agree(site: Site) -> None:
    head, *rows = cells(site, f"/reports/classes/{site.classes[0]}/register.csv")
    sums = cells(site, "/reports/pupils.csv")
    by_number = {row[2]: row[4:] for row in sums[1:]}
    assert len(rows) == 12 and len(head) > 30
    assert all(row[-7:] == by_number[row[1]] for row in rows)


def test_only_the_office_hands_data_to_other_systems(site: Site) -> None:
    for name in ("edfi.csv", "ceds.csv", "oneroster.zip"):
        assert site.visitor("wangmin").get(f"/reports/{name}").status_code == 200
        for login in ("lijing", "zhaoqiang", "menwei"):
            assert site.visitor(login).get(f"/reports/{name}").status_code == 403


def test_a_roster_names_each_pupil_once_in_every_file(site: Site) -> None:
    body = site.visitor("wangmin").get("/reports/oneroster.zip").get_data()
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        files = {name: list(csv.DictReader(io.StringIO(archive.read(name).decode()))) for name in archive.namelist()}
    ids = {row["sourcedId"] for row in files["users.csv"]}
    assert len(ids) == len(files["users.csv"]) == 48
    assert {row["userSourcedId"] for row in files["enrollments.csv"]} == ids
    assert {row["classSourcedId"] for row in files["enrollments.csv"]} == {
        row["sourcedId"] for row in files["classes.csv"]
    }
    assert {row["userSourcedId"] for row in files["attendance.csv"]} <= ids
    assert {"attend", "authorised"} <= {row["countsAs"] for row in files["attendance.csv"]}
    listed = {row["propertyName"] for row in files["manifest.csv"] if row["value"] == "bulk"}
    assert listed == {f"file.{name.removesuffix('.csv')}" for name in files} - {"file.manifest", "file.attendance"}


def test_a_workbook_keeps_numbers_as_text(site: Site) -> None:
    body = site.visitor("wangmin").get(f"/reports/classes/{site.classes[0]}/register.xlsx").get_data()
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        sheet = ElementTree.fromstring(archive.read("xl/worksheets/sheet1.xml"))
    found = [cell.get("t") for cell in sheet.iter() if cell.tag.endswith("}c")]
    assert len(found) > 400 and set(found) <= {"inlineStr", "s"}
    assert not [cell for cell in sheet.iter() if cell.tag.endswith("}f")]


def test_a_pdf_is_a_pdf_of_a4(site: Site) -> None:
    response = site.visitor("wangmin").get(f"/reports/classes/{site.classes[0]}/register.pdf")
    assert response.status_code == 200 and response.get_data().startswith(b"%PDF")


def test_looks_and_files_are_in_the_trail(site: Site) -> None:
    visitor = site.visitor("lijing")
    visitor.text("/reports")
    visitor.text("/reports")
    visitor.get("/reports/pupils.csv?period=week")
    visitor.get(f"/reports/classes/{site.classes[1]}/register.csv")
    with site.app.app_context():
        found = db.session.execute(
            select(AuditEntry.action, AuditEntry.subject, AuditEntry.detail)
            .where(AuditEntry.action.like("report.%"))
            .order_by(AuditEntry.at)
        ).all()
        db.session.remove()
    assert [(action, subject) for action, subject, _ in found] == [
        ("report.viewed", "school"),
        ("report.exported", "school"),
        ("report.exported", f"class:{site.classes[1]}"),
    ]
    assert json.loads(json.dumps(found[1][2])) == {"file": "pupils.csv", "first": "2026-11-23", "last": "2026-11-29"}
