"""CMPP frames: Wireshark's dissector, which knows 3.0, reads ours as we mean them; 2.0 by its lengths."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from server.outbox import cmpp
from server.outbox.providers.cmpp import Cmpp
from tests.server.line_texts import CHINESE, outgoing


def test_the_dissector_reads_version_3(tmp_path: Path) -> None:
    made = Cmpp(Cmpp.Settings(source_addr="901234", service_id="YECS", sender="10690000", version="3.0"))
    (message,) = made.messages(outgoing(body=CHINESE))
    frames = [
        cmpp.Frame(cmpp.CONNECT, 1, cmpp.connect("901234", "secret", "1127074103", cmpp.V3)),
        cmpp.Frame(cmpp.SUBMIT, 2, message.encode(cmpp.V3)),
        cmpp.Frame(cmpp.DELIVER | cmpp.ANSWER, 3, cmpp.deliver_answer(bytes(8), 0, cmpp.V3)),
        cmpp.Frame(cmpp.ACTIVE_TEST, 4),
    ]
    dump = "\n".join(f"000000 {frame.encode().hex(' ')}\n" for frame in frames)
    (tmp_path / "hex").write_text(dump)
    subprocess.run(["text2pcap", "-q", "-T", "50000,7890", "hex", "pcap"], cwd=tmp_path, check=True)
    command = ["tshark", "-r", "pcap", "-d", "tcp.port==7890,cmpp", "-V"]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "Malformed" not in told
    assert all(word in told for word in ("13800000001", "YECS", "10690000", "901234"))


@pytest.mark.parametrize(("version", "length"), [(cmpp.V2, 149), (cmpp.V3, 185)])
def test_submit_has_the_length_of_its_version(version: int, length: int) -> None:
    (message,) = Cmpp(Cmpp.Settings(source_addr="901234")).messages(outgoing(body="校"))
    assert len(message.encode(version)) == length


def test_the_digest_is_made_as_documented() -> None:
    digest = hashlib.md5(b"901234" + b"\0" * 9 + b"secret" + b"1127074103").digest()
    assert cmpp.connect("901234", "secret", "1127074103", cmpp.V2)[6:22] == digest
