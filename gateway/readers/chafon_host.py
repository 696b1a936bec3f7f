"""What a host says to a Chafon reader: for looking at a recorded line with `decode`, never at a gate.

Sources: wabson/chafon-rfid chafon_rfid/command.py; Timereversal/rfidtime transport.go; frames in _chafon.py.
"""

from typing import ClassVar

from gateway.readers import _chafon
from gateway.readers.base import Fault, Frame, Reader, Step


class ChafonHost(Reader):
    baud = 57600
    longest: ClassVar[int] = _chafon.LONGEST

    def take(self, window: bytes) -> Step:
        # Len  Adr  Cmd  data...  CRC x2
        frame = _chafon.take(window)
        return Frame(len(frame)) if isinstance(frame, bytes) else frame


PROTOCOL = ChafonHost
EXAMPLES = [("0500760062c9", []), ("0500760062ca", [Fault("checksum")])]
