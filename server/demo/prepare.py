"""`python -m server.demo.prepare --config FILE`: makes and fills the demo's database, in a process whose clock stands
on the demo's morning, so that nothing in it is younger than the day it plays on.
"""

import argparse
import sys
import time
from pathlib import Path

from flask_migrate import upgrade

from server import config, create_app
from server.db import db, transaction
from server.demo import history, roster, school


def main() -> int:
    """Fill an empty database; one line of progress a day."""
    parser = argparse.ArgumentParser(prog="python -m server.demo.prepare")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--bare", action="store_true", help="without the days before the morning")
    given = parser.parse_args()
    app = create_app(config.load(given.config))
    started, people = time.monotonic(), roster.build()
    with app.app_context():
        upgrade()
        with transaction() as session:
            place = school.add(session, people)
        say(f"{len(people.pupils)} pupils in {len(people.classes)} classes and their families")
        for day, taps in () if given.bare else history.write(place, people, school.TODAY):
            say(f"{day:%a %d %B}: {taps} taps")
        db.session.remove()
        db.engine.dispose()
    say(f"the demo school is made, in {time.monotonic() - started:.0f} s")
    return 0


def say(text: str) -> None:
    """One line to whoever waits."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
