"""A card with a mind of its own, simulated: an NTAG 424 DNA whose message has a counter that grows.

Written from the NXP data sheet NT4H2421Gx (10.9, ISO commands; 9.3, SUN), not from our reader: each checks the other.
"""

APPLICATION = bytes.fromhex("D2760000850101")
CAPABILITIES, NDEF = b"\xe1\x03", b"\xe1\x04"
CAPABILITY_FILE = bytes.fromhex("001720010000FF0406E104010000000506E10500808283000000000000000000")
NDEF_BYTES = 256
OK, WRONG_LENGTH, NO_FILE_CHOSEN, NOT_FOUND = b"\x90\x00", b"\x67\x00", b"\x69\x86", b"\x6a\x82"
BEYOND_END, UNKNOWN_COMMAND, UNKNOWN_CLASS = b"\x6b\x00", b"\x6d\x00", b"\x6e\x00"
SELECT, READ_BINARY = 0xA4, 0xB0
HTTPS = "https://"


class Ntag424:
    """`url` is what it writes of itself; `{counter}` in it becomes six hex digits, one more at each reading."""

    def __init__(self, url: str, counter: int = 0) -> None:
        self.url = url
        self.counter = counter
        self.was_read = False  # to the end, since it came into the field
        self._chosen = False  # its application
        self._file: bytes | None = None
        self._counted = False

    def arrive(self) -> None:
        """It comes into a field and knows nothing of the one before."""
        self.was_read = self._chosen = self._counted = False
        self._file = None

    def answer(self, command: bytes) -> bytes:
        """Content and status for one ISO 7816-4 command."""
        if len(command) < 5:
            return WRONG_LENGTH
        if command[0] != 0:
            return UNKNOWN_CLASS
        if command[1] == SELECT:
            return self._select(command)
        return self._read(command) if command[1] == READ_BINARY else UNKNOWN_COMMAND

    def _select(self, command: bytes) -> bytes:
        by_name, name = command[2] == 4, command[5 : 5 + command[4]]
        if len(name) != command[4]:
            return WRONG_LENGTH
        if by_name:
            self._chosen, self._file = name == APPLICATION, None
            return OK if self._chosen else NOT_FOUND
        if not self._chosen or name not in (CAPABILITIES, NDEF):
            return NOT_FOUND
        self._file = name
        return OK

    def _read(self, command: bytes) -> bytes:
        if self._file is None:
            return NO_FILE_CHOSEN
        content = self._message() if self._file == NDEF else CAPABILITY_FILE
        offset, size = int.from_bytes(command[2:4]), command[4] or 256
        if offset >= len(content):
            return BEYOND_END
        if offset + size > len(content):
            return WRONG_LENGTH
        self.was_read = self.was_read or (self._file == NDEF and offset + size >= 2 + int.from_bytes(content[:2]) > 2)
        return content[offset : offset + size] + OK

    def _message(self) -> bytes:
        self.counter += 0 if self._counted else 1
        self._counted = True
        text = self.url.replace("{counter}", f"{self.counter:06X}")
        payload = (b"\x04" + text.removeprefix(HTTPS).encode()) if text.startswith(HTTPS) else b"\x00" + text.encode()
        record = bytes([0xD1, 1, len(payload)]) + b"U" + payload
        return (len(record).to_bytes(2) + record).ljust(NDEF_BYTES, b"\x00")
