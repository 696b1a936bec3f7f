"""What happens by itself: functions marked @every in features' jobs.py, run by one loop, and the sender beside it."""

import importlib
import logging
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from flask import Flask

from server import FEATURES, part, service_manager
from server.outbox.providers import opened
from server.outbox.sender import Sender

log = logging.getLogger(__name__)
failures: Counter[str] = Counter()  # by the name of the job, since the start of the process
_marked: dict[str, "Job"] = {}


@dataclass(frozen=True)
class Job:
    """A function to call every so many real seconds."""

    name: str
    seconds: float
    call: Callable[[], None]


def every(*, seconds: float) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Mark a function of a jobs.py: it runs at start and then every `seconds`, in the application's context."""

    def mark(call: Callable[[], None]) -> Callable[[], None]:
        name = f"{call.__module__.removeprefix('server.').removesuffix('.jobs')}.{call.__name__}"
        _marked[name] = Job(name, seconds, call)
        return call

    return mark


def found() -> list[Job]:
    """All jobs: those of the features, and those at the top."""
    for feature in FEATURES:
        part(feature, "jobs")
    for top in ("pipeline", "replies"):
        importlib.import_module(f"server.{top}")
    return [_marked[name] for name in sorted(_marked)]


def loop(app: Flask, jobs: Iterable[Job], stop: threading.Event) -> None:
    """Run each job when it is due until `stop` is set; one that fails is logged and counted and runs again."""
    due = {job: time.monotonic() for job in jobs}
    while not stop.is_set():
        for job in [job for job, at in due.items() if at <= time.monotonic()]:
            run_once(app, job)
            due[job] = time.monotonic() + job.seconds
        service_manager.tell("WATCHDOG=1")
        stop.wait(max(0.01, min([*due.values(), time.monotonic() + 5]) - time.monotonic()))


def run_once(app: Flask, job: Job) -> None:
    """One run. The only place that catches everything: one feature's bug must not stop the others' jobs."""
    try:
        with app.app_context():
            job.call()
    except Exception:
        failures[job.name] += 1
        log.exception("job %s failed, the %d. time since the start; it runs again in %g s", job.name,
                      failures[job.name], job.seconds)  # fmt: skip


def run(app: Flask, stop: threading.Event | None = None) -> None:
    """The jobs process: the loop, and beside it the threads that send what is in the outbox."""
    stop = stop or stop_on_signals()
    service_manager.end_process_on_thread_death()
    providers = opened(app.extensions["gatebell"])
    sender = threading.Thread(target=Sender(app, providers).run, args=(stop,), name="sender")
    sender.start()
    service_manager.tell("READY=1")
    loop(app, found(), stop)
    sender.join()


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
