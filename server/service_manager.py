"""What a process owes to whoever started it: a word that it is ready and alive, and death rather than deafness."""

import logging
import os
import socket
import threading

log = logging.getLogger(__name__)
BROKEN = 70  # EX_SOFTWARE


def tell(word: str) -> None:
    """systemd's notification protocol (sd_notify(3)): READY=1, WATCHDOG=1, STOPPING=1; without systemd, nothing."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.setblocking(False)
        try:
            manager.sendto(word.encode(), "\0" + address[1:] if address.startswith("@") else address)
        except OSError as error:
            log.warning("systemd did not take %s: %s", word, error)


def end_process_on_thread_death() -> None:
    """From now on a bug in any thread ends the whole process: one that has lost a thread only looks alive."""
    threading.excepthook = _die


def _die(broken: threading.ExceptHookArgs) -> None:
    name = broken.thread.name if broken.thread else "unknown"
    trace = (broken.exc_type, broken.exc_value or broken.exc_type(), broken.exc_traceback)
    log.critical("thread %s broke, so this process ends and is to be started again", name, exc_info=trace)
    logging.shutdown()
    os._exit(BROKEN)
