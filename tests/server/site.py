"""The sample school as a web site, and people who visit it with a browser's cookies and forms."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask
from sqlalchemy import event
from werkzeug.test import TestResponse

from server import config, create_app
from server.db import db
from tests import sample


class Visitor:
    """Somebody with cookies; forms are sent with the token of the page before."""

    def __init__(self, app: Flask, **headers: str) -> None:
        self.client = app.test_client()
        self.headers = headers

    def get(self, url: str, **headers: str) -> TestResponse:
        """Open a page."""
        return self.client.get(url, headers={**self.headers, **headers}, buffered=True)

    def text(self, url: str) -> str:
        """The page, which must be there."""
        response = self.get(url)
        assert response.status_code == 200, f"{url}: {response.status_code}"
        return response.get_data(as_text=True)

    def post(self, url: str, **fields: str) -> TestResponse:
        """Send a form."""
        return self.client.post(url, data={**fields, "csrf_token": self.token()}, headers=self.headers)

    def token(self) -> str:
        """The form's token, as any page has it."""
        found = re.search(r'name="csrf_token" value="([^"]+)"', self.get("/login").get_data(as_text=True))
        if found is None:  # who is logged in has no login page
            found = re.search(r'name="csrf_token" value="([^"]+)"', self.get("/classes").get_data(as_text=True))
        assert found is not None
        return found.group(1)

    def log_in(self, login: str, password: str = sample.PASSWORD) -> TestResponse:
        """Try to log in."""
        return self.post("/login", login=login, password=password)


class Site:
    """The application with the sample school."""

    def __init__(self, settings: config.Config, **size: int) -> None:
        self.app = create_app(settings)
        with self.app.app_context():
            written = sample.write(**size)  # type: ignore[arg-type]
            self.classes = [str(each.id) for each in written.classes]
            self.pupils = [(str(each.id), each.name, str(each.class_id)) for each in written.pupils]
            db.session.remove()

    def stranger(self, **headers: str) -> Visitor:
        """Somebody who is not logged in."""
        return Visitor(self.app, **headers)

    def visitor(self, login: str, **headers: str) -> Visitor:
        """Somebody who is."""
        visitor = Visitor(self.app, **headers)
        response = visitor.log_in(login)
        assert response.status_code == 303, response.get_data(as_text=True)
        return visitor

    @contextmanager
    def statements(self) -> Iterator[list[str]]:
        """What is asked of the database meanwhile."""
        asked: list[str] = []

        def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
            asked.append(statement)

        with self.app.app_context():
            engine = db.engine
        event.listen(engine, "before_cursor_execute", note)
        yield asked
        event.remove(engine, "before_cursor_execute", note)

    def close(self) -> None:
        """Give the database back."""
        with self.app.app_context():
            db.session.remove()
            db.engine.dispose()
