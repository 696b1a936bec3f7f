"""The peer that a school's own programmer would write: 40 lines of pyserial and paho, nothing on disk.

`python peer_script.py <broker's port> <reader> ...` publishes each sound id12la frame on peer/tap,
as {"card": "<10 hex>"}.
"""

import json
import sys
import threading

import serial
from paho.mqtt import client as mqtt


def card_of(frame: bytes) -> str | None:
    """STX  id x10  xor x2  CR LF ETX: the id, where the check agrees."""
    text = frame[frame.rfind(b"\x02") + 1 : -1].decode("ascii", "replace").strip()
    try:
        body = bytes.fromhex(text)
    except ValueError:
        return None
    check = 0
    for byte in body:
        check ^= byte
    return text[:10] if len(body) == 6 and check == 0 else None


def read(name: str, client: mqtt.Client) -> None:
    """One reader, for ever."""
    with serial.Serial(name, 9600) as line:
        while True:
            card = card_of(line.read_until(b"\x03"))
            if card:
                client.publish("peer/tap", json.dumps({"card": card}), qos=1)


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="peer-script")
client.reconnect_delay_set(1, 1)  # its default goes up to two minutes
client.connect("127.0.0.1", int(sys.argv[1]), 15)
client.loop_start()
for name in sys.argv[2:]:
    threading.Thread(target=read, args=(name, client)).start()
