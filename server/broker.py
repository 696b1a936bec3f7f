"""The MQTT broker of a demo or a small school: mosquitto when it is installed, else the embedded one, on loopback.

`python -m server.broker --port 1883 --folder DIR` becomes the broker; both take the same clients by the same URL.
"""

import argparse
import os
import shutil
import sys
from pathlib import Path

# What both keep for a client that is away, far above one morning; the spool on the gateway guards the rest.
QUEUED = 200_000
MAX_PAYLOAD = 1024 * 1024

_MOSQUITTO = """listener {port} 127.0.0.1
set_tcp_nodelay true
allow_anonymous true
persistence true
persistence_location {folder}/
max_queued_messages {queued}
{user}
"""

# rumqttd speaks one protocol version on one port: MQTT 5 here, which is the default of both halves.
_EMBEDDED = """id = 0
[router]
id = 0
max_connections = 1000
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10
[v5.1]
name = "loopback"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = {payload}
max_inflight_count = 100
dynamic_filters = true
"""


def mosquitto() -> str | None:
    """Path of mosquitto; Debian puts it where only root's PATH looks."""
    return shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def command(port: int, folder: Path, *, embedded: bool = False) -> list[str]:
    """The broker's command line, after writing its configuration into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    program = None if embedded else mosquitto()
    if program is None:
        settings = folder / "rumqttd.toml"
        settings.write_text(_EMBEDDED.format(port=port, payload=MAX_PAYLOAD))
        # Its log calls each packet an error; only a crash is worth reading.
        return [sys.executable, "-m", "iotcore", "--config", str(settings), "--log-level", "CRITICAL"]
    settings = folder / "mosquitto.conf"
    # mosquitto started by root would change to a user that may not write into the folder.
    user = "user root" if os.getuid() == 0 else ""
    settings.write_text(_MOSQUITTO.format(port=port, folder=folder.resolve(), queued=QUEUED, user=user))
    return [program, "-c", str(settings)]


def main() -> None:
    """Become the broker."""
    parser = argparse.ArgumentParser(prog="python -m server.broker", description=__doc__)
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--folder", type=Path, default=Path("broker"))
    parser.add_argument("--embedded", action="store_true", help="the embedded broker even where mosquitto is installed")
    given = parser.parse_args()
    line = command(given.port, given.folder, embedded=given.embedded)
    os.execv(line[0], line)


if __name__ == "__main__":
    main()
