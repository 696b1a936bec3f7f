"""SMPP against a server that is not ours (smpp34): receipts, replies, long texts, and every fault by last digit."""

import asyncio
import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
import smpp34

from server.outbox import line, parts, segments
from server.outbox.providers import smpp
from server.outbox.providers.base import SendFailed
from server.outbox.rules import Outcome, TextState
from tests.server.line_texts import CHINESE, Kept, outgoing, until


class Operator:
    """smpp34's server in a loop of its own; the number's last digit picks the fate."""

    def __init__(self, port: int = 0) -> None:
        if not port:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
        self.port, self.seen, self.esme = port, [], None
        self.loop = asyncio.new_event_loop()
        self.up = threading.Event()
        self.thread = threading.Thread(target=self.loop.run_until_complete, args=(self.main(),))
        self.thread.start()
        assert self.up.wait(5)

    async def main(self) -> None:
        self.end = asyncio.Event()
        server = smpp34.Server(host="127.0.0.1", port=self.port, system_id="SIM")
        await server.start()
        self.up.set()
        serving = asyncio.ensure_future(self.serve(server))
        await self.end.wait()
        serving.cancel()
        await server.stop()

    async def serve(self, server: Any) -> None:
        self.tasks = set()
        while True:
            event = await server.next()
            if isinstance(event, smpp34.Esme):
                self.esme = event
            elif isinstance(event, smpp34.SubmitSmEvent):
                self.seen.append(event)
                task = asyncio.ensure_future(self.fate(event, f"{len(self.seen):08X}"))
                self.tasks.add(task)

    async def fate(self, event: Any, given: str) -> None:
        digit = event.destination_addr[-1]
        refusal = {"9": smpp34.ESME_RINVDSTADR, "6": smpp34.ESME_RTHROTTLED, "0": smpp34.ESME_RMSGQFUL}.get(digit)
        if refusal:
            event.reject(refusal)
        elif digit == "4":
            await asyncio.sleep(30)
        else:
            if digit == "2":
                await self.receipt(event, given, "DELIVRD")
            event.accept(message_id=given)
            stat = {"7": "UNDELIV", "8": "EXPIRED"}.get(digit, "DELIVRD")
            for _ in range({"5": 0, "2": 0, "3": 2}.get(digit, 1)):
                await self.receipt(event, given, stat)

    async def receipt(self, event: Any, given: str, stat: str) -> None:
        words = f"id:{given} sub:001 dlvrd:001 submit date:2611270741 done date:2611270741 stat:{stat} err:000 text:x"
        while True:
            answer = await self.esme.deliver_sm(
                source_addr=event.destination_addr, destination_addr="10690000", esm_class=4,
                short_message=words.encode(),
            )  # fmt: skip
            if answer.is_success:
                return
            await asyncio.sleep(0.05)

    def write(self, body: bytes, **fields: Any) -> None:
        """What a person writes to us."""

        async def send() -> Any:
            return await self.esme.deliver_sm(
                source_addr="13900000001", destination_addr="10690000", short_message=body, **fields
            )

        assert asyncio.run_coroutine_threadsafe(send(), self.loop).result(5).is_success

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.end.set)
        self.thread.join(10)
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()


@pytest.fixture
def operator() -> Iterator[Operator]:
    running = Operator()
    yield running
    running.stop()


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def provider(operator: Operator, kept: Kept) -> Iterator[smpp.Smpp]:
    made = smpp.Smpp(smpp.Smpp.Settings(port=operator.port, system_id="school", password="x", sender="10690000"))
    made.start(kept)
    until(lambda: not made.check() and operator.esme)
    yield made
    made.stop()


def test_a_text_is_taken_and_delivered(provider: smpp.Smpp, operator: Operator, kept: Kept) -> None:
    reference = provider.send(outgoing()).reference
    until(lambda: kept.news() == [(reference, TextState.DELIVERED)])
    seen = operator.seen[0]
    assert (bytes(seen.short_message).decode("utf-16-be"), seen.data_coding) == (CHINESE, 8)
    assert (seen.destination_addr, seen.registered_delivery) == ("8613800000001", 1)
    assert reference == "1"


def test_every_part_of_a_long_text_has_its_receipt(provider: smpp.Smpp, operator: Operator, kept: Kept) -> None:
    body = "到" * 66 + "😀" + "校" * 60
    accepted = provider.send(outgoing(body=body))
    assert len(accepted.references) == 2
    until(lambda: sorted(kept.news()) == sorted((given, TextState.DELIVERED) for given in accepted.references))
    bodies = [bytes(seen.short_message) for seen in operator.seen]
    assert "".join(part[6:].decode("utf-16-be") for part in bodies) == body
    assert bodies[0][:3] == b"\x05\x00\x03" and bodies[0][3] == bodies[1][3]
    assert [tuple(part[4:6]) for part in bodies] == [(2, 1), (2, 2)]
    assert {seen.esm_class for seen in operator.seen} == {0x40}


@pytest.mark.parametrize(
    ("digit", "outcome"), [("9", Outcome.FAIL_NUMBER), ("6", Outcome.RETRY_SAME), ("0", Outcome.RETRY_SAME)]
)
def test_refusals(provider: smpp.Smpp, operator: Operator, digit: str, outcome: Outcome) -> None:
    with pytest.raises(SendFailed) as failed:
        provider.send(outgoing("+861380000000" + digit, "到" * 100))
    assert failed.value.outcome is outcome
    assert len(operator.seen) == 1  # nothing of it goes after the part that was refused


def test_no_answer_is_unknown(provider: smpp.Smpp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "WAIT_FOR_ANSWER", 0.5)
    with pytest.raises(SendFailed) as failed:
        provider.send(outgoing("+8613800000004"))
    assert failed.value.outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("digit", "states"),
    [("7", [TextState.FAILED]), ("8", [TextState.EXPIRED]), ("3", [TextState.DELIVERED] * 2),
     ("2", [TextState.DELIVERED])],
)  # fmt: skip
def test_receipts(provider: smpp.Smpp, kept: Kept, digit: str, states: list[TextState]) -> None:
    reference = provider.send(outgoing("+861380000000" + digit)).reference
    until(lambda: kept.news() == [(reference, state) for state in states])


def test_a_receipt_that_could_not_be_kept_is_brought_again(provider: smpp.Smpp, kept: Kept) -> None:
    kept.fails = 2
    reference = provider.send(outgoing()).reference
    until(lambda: kept.news() == [(reference, TextState.DELIVERED)])
    assert kept.fails == 0


def test_many_threads_at_once(provider: smpp.Smpp, kept: Kept) -> None:
    with ThreadPoolExecutor(20) as pool:
        given = list(pool.map(lambda _: provider.send(outgoing()).reference, range(100)))
    assert len(set(given)) == 100
    until(lambda: sorted(reference for reference, _ in kept.news()) == sorted(given))


def test_replies_short_and_long(provider: smpp.Smpp, operator: Operator, kept: Kept) -> None:
    operator.write("TD 收到".encode("utf-16-be"), data_coding=8)
    operator.write(b"\x05\x00\x03\x07\x02\x02" + "明白".encode("utf-16-be"), data_coding=8, esm_class=0x40)
    operator.write(b"\x05\x00\x03\x07\x02\x01" + "老师".encode("utf-16-be"), data_coding=8, esm_class=0x40)
    operator.write(b"\x1b\x65 \x00", data_coding=0)
    until(lambda: [body for _, body in kept.heard()] == ["TD 收到", "老师明白", "€ @"])


def test_a_lost_connection_is_opened_again(provider: smpp.Smpp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "BACK_OFF", (0.5,))
    provider._line._wire._socket.shutdown(socket.SHUT_RDWR)
    until(provider.check)
    until(lambda: not provider.check())
    assert provider.send(outgoing()).reference == "1"


def test_a_refused_bind_is_told() -> None:
    """smpp34's server has no passwords: this one answers bind_transceiver with ESME_RINVPASWD."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def refuse() -> None:
            peer, _ = server.accept()
            sequence = peer.recv(500)[12:16]
            peer.sendall(struct.pack(">III", 17, 0x80000009, 0x0E) + sequence + b"\0")
            peer.close()

        thread = threading.Thread(target=refuse)
        thread.start()
        made = smpp.Smpp(smpp.Smpp.Settings(port=server.getsockname()[1], system_id="school"))
        made.start(Kept())
        until(lambda: "refused to bind (0x0E)" in "".join(made.check()))
        made.stop()
        thread.join()


@pytest.mark.parametrize(
    ("given", "kind", "same"),
    [("0000001A", "hex", "26"), ("0026", "decimal", "26"), ("001a", "text", "1a"), ("abc-1", "decimal", "abc-1")],
)
def test_numbers_are_written_alike(given: str, kind: Any, same: str) -> None:
    assert smpp.canonical(given, kind) == same


def test_a_receipt_by_optional_parameters() -> None:
    pdu = SimpleNamespace(esm_class=4, short_message=b"", message_payload=None, receipted_message_id=b"00A1\0",
                          message_state=2)  # fmt: skip
    news = smpp.receipt(pdu, "hex")
    assert (news.reference, news.state) == ("161", TextState.DELIVERED)


@pytest.mark.parametrize("text", ["a" * 152 + "€" + "b" * 10, "^" * 80, "a" * 160, "校" * 70, "校" * 66 + "😀" * 3])
def test_parts_are_what_is_counted(text: str) -> None:
    cut = parts.of(text, 7)
    assert len(cut) == segments.count(text, segments.Rule.GSM).segments
    bodies = [part.body[6:] if part.joined else part.body for part in cut]
    read = parts.from_gsm if segments.is_gsm(text) else lambda body: body.decode("utf-16-be")
    assert "".join(map(read, bodies)) == text
    assert all(len(part.body) <= (159 if part.gsm else 140) + (0 if part.joined else 1) for part in cut)
