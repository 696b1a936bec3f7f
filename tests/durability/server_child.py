"""The server's ingest, jobs or web in a process of its own, to be killed.

`python -m tests.durability.server_child ingest|jobs|web <folder> <database url> <broker url> [mutant]`
"""

import logging
import sys

from server import config, create_app, ingest, jobs, webserver
from server.outbox import rules
from tests.durability import mutants


def settings(folder: str, database: str, broker: str, port: int = 8000) -> config.Config:
    """A server whose texts go to the demo's phones."""
    return config.Config(
        database=config.Database(url=database),
        mqtt=config.Mqtt(urls=(broker,)),
        web=config.Web(port=port, threads=8),
        secrets=config.Secrets(key_file=f"{folder}/key"),
        outbox=config.Outbox(providers=("phone",)),
        run_dir=folder,
        demo=True,
    )


def main(role: str, folder: str, database: str, broker: str, mutant: str = "", port: str = "8000") -> None:
    """Work until SIGTERM; leases are short, so that what a kill cut off is soon taken up again."""
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    rules.LEASE, rules.FRESH_CLAIM = 3.0, 1.0
    mutants.spoil_server(mutant)
    app = create_app(settings(folder, database, broker, int(port)))
    {"ingest": ingest.run, "jobs": jobs.run, "web": webserver.serve}[role](app)


if __name__ == "__main__":
    main(*sys.argv[1:])
