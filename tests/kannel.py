"""A real Kannel for tests: bearerbox, smsbox and the fake SMSC that comes with it, on free ports of this machine."""

import contextlib
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.services import Service, free_port

FAKESMSC = "/usr/lib/kannel/test/fakesmsc"
PATH = "/usr/sbin:/usr/bin:/usr/local/sbin"

CONF = """
group = core
admin-port = {admin}
admin-interface = 127.0.0.1
admin-password = adm
status-password = sta
smsbox-port = {boxes}
smsbox-interface = 127.0.0.1
box-allow-ip = "127.0.0.1"
store-type = spool
store-location = "{folder}/store"
dlr-storage = spool
dlr-spool = "{folder}/dlr"
sms-resend-freq = 2
sms-resend-retry = 3

group = smsc
smsc = fake
smsc-id = fake
our-host = 127.0.0.1
port = {smsc}
connect-allow-ip = 127.0.0.1
denied-prefix = "+86199"

group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = {sendsms}
sendsms-interface = 127.0.0.1
sendsms-chars = "0123456789 +-"
mo-recode = true
global-sender = 10690000
http-request-retry = 3
http-queue-delay = 2

group = sendsms-user
username = school
password = s3cret
concatenation = true
max-messages = 10
"""

REPLIES = """
group = sms-service
keyword = default
catch-all = true
max-messages = 0
omit-empty = true
get-url = "{url}?from=%p&text=%a&id=%I"
"""


class _Box(Service):
    """One of Kannel's programs."""

    def __init__(self, folder: Path, port: int, words: list[str]) -> None:
        super().__init__(folder, port)
        self.words = words

    def command(self) -> list[str]:
        """As started by hand."""
        return self.words


class Kannel:
    """The three programs; `sent` is what the fake SMSC was given, as bytes of its log."""

    def __init__(self, folder: Path, *, replies: str = "", says: str = "13900000009 10690000 text hello") -> None:
        """`replies` is where it brings what phones write; `says` is what one phone writes at once."""
        self.folder, self.says = folder, says
        self.sendsms, self.admin = free_port(), free_port()
        boxes, self.smsc_port = free_port(), free_port()
        conf = folder / "kannel.conf"
        for part in (folder, folder / "store", folder / "dlr"):
            part.mkdir(parents=True, exist_ok=True)
        ports = {"admin": self.admin, "boxes": boxes, "smsc": self.smsc_port, "sendsms": self.sendsms}
        conf.write_text(CONF.format(folder=folder, **ports) + (REPLIES.format(url=replies) if replies else ""))
        self.bearerbox = _Box(folder / "bearerbox", boxes, [_program("bearerbox"), "-v", "2", str(conf)])
        self.smsbox = _Box(folder / "smsbox", self.sendsms, [_program("smsbox"), "-v", "2", str(conf)])
        self.smsc: subprocess.Popen[bytes] | None = None

    @staticmethod
    def available() -> bool:
        """Whether Kannel and its fake SMSC are installed."""
        return bool(_program("bearerbox") and Path(FAKESMSC).exists())

    @property
    def url(self) -> str:
        """Where sendsms listens."""
        return f"http://127.0.0.1:{self.sendsms}/cgi-bin/sendsms"

    def start(self) -> None:
        """Start all three in their order, and wait until the SMSC is connected."""
        self.bearerbox.start()
        self.smsbox.start()
        self.start_smsc()

    def start_smsc(self) -> None:
        """The operator's side; bearerbox opens its port a little later than the others."""
        words = [FAKESMSC, "-H", "127.0.0.1", "-r", str(self.smsc_port), "-i", "0", "-m", "1", "-v", "0"]
        words.append(self.says)
        _until(lambda: "fake" in self.status())
        with (self.folder / "smsc.log").open("ab") as log:
            self.smsc = subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True)
        _until(lambda: "online" in self.status().split("SMSC connections", 1)[-1])

    def status(self) -> str:
        """Bearerbox's own status page."""
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/status.txt?password=sta", timeout=5) as answer,
        ):
            return str(answer.read().decode("utf-8", "replace"))
        return ""

    def sent(self) -> bytes:
        """What the fake SMSC printed."""
        return (self.folder / "smsc.log").read_bytes()

    def stop_smsc(self) -> None:
        """The operator's line goes down."""
        if self.smsc:
            self.smsc.kill()
            self.smsc.wait(10)
            self.smsc = None

    def kill(self) -> None:
        """Bearerbox crashes; smsbox goes with it."""
        self.bearerbox.stop(signal.SIGKILL)
        self.smsbox.stop(signal.SIGKILL)
        self.stop_smsc()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()  # SIGTERM would wait for its queues


def _program(name: str) -> str:
    return shutil.which(name, path=PATH) or ""


def _until(condition: Callable[[], bool], *, seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(f"Kannel was not ready after {seconds} s")
        time.sleep(0.05)
