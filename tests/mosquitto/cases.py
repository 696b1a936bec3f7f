"""What each identity may and may not do at the broker: every case says whether the rule held, judged by deliveries.

SUBACK says Granted for filters that are never delivered, and over MQTT 3.1.1 PUBACK says Success for messages that are
thrown away: neither is looked at, but that PUBACK over MQTT 5 must tell a gate of a denied message.
"""

import ssl
import time
from collections.abc import Callable, Iterable
from typing import Any

import paho.mqtt.client as mqtt

from gateway import wire
from gateway.wire import Kind
from tests.mosquitto.place import GATES, INGEST, Client, Scene, rogue
from tests.server.ingest_worker import wait_until

MINE, BESIDE, ELSEWHERE = GATES
QUIET = 0.3  # seconds in which what was wrongly allowed would have come, where nothing later can be waited for


def topic(gate: tuple[str, str], kind: Kind) -> str:
    """Of a gate."""
    return wire.topic(*gate, kind)


# allowed


def all_identities_connect(scene: Scene) -> bool:
    return all(client.up for client in (scene.worker, scene.first, scene.second, scene.other_school))


def a_gates_own_tap_reaches_the_worker(scene: Scene) -> bool:
    scene.first.publish(topic(MINE, Kind.TAP), b"my tap")
    scene.settle()
    return (topic(MINE, Kind.TAP), b"my tap") in scene.worker.got


def a_gates_own_retained_state_reaches_the_worker(scene: Scene) -> bool:
    scene.first.publish(topic(MINE, Kind.STATE), b"my state", retain=True)
    scene.settle()
    return (topic(MINE, Kind.STATE), b"my state") in scene.worker.got


def the_workers_answer_reaches_that_gate_alone(scene: Scene) -> bool:
    for kind in (Kind.STORED, Kind.COMMAND):
        scene.worker.publish(topic(MINE, kind), b"answer %s" % kind.encode())
    wait_until(lambda: scene.first.has(b"answer command"))
    others = (scene.second, scene.other_school)
    return scene.first.has(b"answer stored") and not any(each.has(b"answer stored") for each in others)


def the_workers_session_keeps_what_came_while_it_was_away(scene: Scene) -> bool:
    scene.worker.close()
    scene.first.publish(topic(MINE, Kind.TAP), b"while away")
    scene.worker = scene.as_worker()
    wait_until(lambda: scene.worker.has(b"while away"))
    return True


# denied: publishing


def _arrives(scene: Scene, sender: Client, where: str, payload: bytes) -> bool:
    """Whether the worker gets what a client has sent; a client of MQTT 5 must be told that it was denied."""
    told = sender.publish(where, payload)
    scene.settle()
    silent = sender.version == mqtt.MQTTv5 and told == "Success"
    return scene.worker.has(payload) or silent


def a_tap_as_another_gate(scene: Scene) -> bool:
    return not _arrives(scene, scene.first, topic(BESIDE, Kind.TAP), b"forged beside")


def a_tap_as_the_same_gate_of_another_school(scene: Scene) -> bool:
    return not _arrives(scene, scene.first, topic(ELSEWHERE, Kind.TAP), b"forged elsewhere")


def a_state_as_another_gate(scene: Scene) -> bool:
    return not _arrives(scene, scene.first, topic(BESIDE, Kind.STATE), b"forged state")


def a_tap_on_another_shard(scene: Scene) -> bool:
    scene.worker.subscribe("gatebell/1/07/+/+/tap")
    return not _arrives(scene, scene.first, wire.topic(*MINE, Kind.TAP, shard="07"), b"other shard")


def a_command_to_another_gate(scene: Scene) -> bool:
    scene.first.publish(topic(BESIDE, Kind.COMMAND), b"forged command")
    return not _gets(scene, scene.second, BESIDE, b"forged command")


def a_stored_to_itself(scene: Scene) -> bool:
    scene.first.publish(topic(MINE, Kind.STORED), b"forged stored")
    return not _gets(scene, scene.first, MINE, b"forged stored")


def a_worker_makes_a_tap(scene: Scene) -> bool:
    return not _arrives(scene, scene.worker, topic(MINE, Kind.TAP), b"worker's tap")


def a_worker_makes_a_tap_under_its_own_name(scene: Scene) -> bool:
    """The pattern for gates lets it write a topic of one level less, which is nobody's; it must not grow into a tap."""
    scene.worker.publish(f"gatebell/1/00/{INGEST}/tap", b"own name")
    return not _arrives(scene, scene.worker, f"gatebell/1/00/{INGEST}/x/tap", b"x") and not scene.worker.has(
        b"own name"
    )


def a_forged_tap_in_the_last_will(scene: Scene) -> bool:
    gate = scene.as_gate(*BESIDE, will=(topic(MINE, Kind.TAP), b"forged will"))  # takes the place of the second
    gate.client._sock_close()  # a pulled cable: no DISCONNECT, so the broker speaks the will
    gate.client.loop_stop()
    scene.second = scene.as_gate(*BESIDE)
    scene.settle()
    return not scene.worker.has(b"forged will")


def a_tap_as_another_gate_over_311(scene: Scene) -> bool:
    scene.first.close()
    old = scene.first = scene.as_gate(*MINE, version=mqtt.MQTTv311)
    forged = _arrives(scene, old, topic(BESIDE, Kind.TAP), b"forged 3.1.1")
    return not forged and _arrives(scene, old, topic(MINE, Kind.TAP), b"mine over 3.1.1")


def a_message_above_the_limit(scene: Scene) -> bool:
    large = b"A" * 70_000
    scene.first.publish(topic(MINE, Kind.TAP), large)
    scene.settle()
    scene.first.close()
    scene.first = scene.as_gate(*MINE)
    return not scene.worker.has(large)


# denied: reading


def _gets(scene: Scene, reader: Client, gate: tuple[str, str], payload: bytes) -> bool:
    """Whether a reader has a payload once a later message to its own gate has come."""
    scene.count += 1
    mark = b"mark %d" % scene.count
    scene.worker.publish(topic(gate, Kind.STORED), mark)
    wait_until(lambda: reader.has(mark))
    return reader.has(payload)


def _overhears(scene: Scene, wanted: str) -> bool:
    """Whether a gate that asks for a filter gets anything that is not its own."""
    scene.first.close()
    eve = scene.first = scene.as_gate(*MINE)
    eve.subscribe(wanted)
    scene.second.publish(topic(BESIDE, Kind.TAP), b"a secret tap")
    scene.second.publish(topic(BESIDE, Kind.STATE), b"a secret state", retain=True)
    for kind in (Kind.STORED, Kind.COMMAND):
        scene.worker.publish(topic(BESIDE, kind), b"a secret answer")
    _gets(scene, eve, MINE, b"")
    own = {topic(MINE, kind) for kind in Kind}
    return any(where not in own for where, _ in eve.got)


def everything(scene: Scene) -> bool:
    return not _overhears(scene, "#")


def all_taps(scene: Scene) -> bool:
    return not _overhears(scene, "gatebell/1/+/+/+/tap")


def another_gates_answers(scene: Scene) -> bool:
    return not _overhears(scene, topic(BESIDE, Kind.STORED))


def all_taps_by_a_shared_subscription(scene: Scene) -> bool:
    return not _overhears(scene, "$share/eve/gatebell/1/00/+/+/tap")


def the_brokers_own_topics(scene: Scene) -> bool:
    return not _overhears(scene, "$SYS/#")


def a_worker_reads_answers(scene: Scene) -> bool:
    scene.worker.subscribe("gatebell/1/00/+/+/stored")
    scene.worker.publish(topic(BESIDE, Kind.STORED), b"answer to beside")
    scene.settle()
    return not scene.worker.has(b"answer to beside")


# denied: getting in


def _no_one(client: Client) -> bool:
    """Whether this client is not let in; with TLS 1.3 a refusal comes only after the handshake."""
    let_in = client.up
    client.close()
    return not let_in


def without_a_certificate(scene: Scene) -> bool:
    return _no_one(Client(scene.place, None, "mingde/gate-1"))


def without_tls(scene: Scene) -> bool:
    return _no_one(Client(scene.place, None, "mingde/gate-1", tls=False))


def with_a_certificate_that_it_signed_itself(scene: Scene) -> bool:
    return _no_one(Client(scene.place, rogue(scene.place.folder, "mingde/gate-1"), "mingde/gate-1"))


def with_an_expired_certificate(scene: Scene) -> bool:
    return _no_one(Client(scene.place, scene.place.certificate("mingde/gate-1", days=-1), "mingde/gate-1"))


def with_the_brokers_own_certificate(scene: Scene) -> bool:
    folder = scene.place.folder / "broker"
    proof = scene.place.folder / "brokers-own.pem"
    proof.write_text((folder / "broker.crt").read_text() + (folder / "broker.key").read_text())
    return _no_one(Client(scene.place, proof, "broker"))


def over_tls_11(scene: Scene) -> bool:
    proof = scene.place.folder / "mingde-gate-1.pem"
    return _no_one(Client(scene.place, proof, "mingde/gate-1", highest=ssl.TLSVersion.TLSv1_1))


def _name_opens_nothing(scene: Scene, name: str) -> bool:
    """A certificate that our authority would never give this name."""
    with Client(scene.place, scene.place.certificate(name), "evil") as evil:
        if not evil.up:
            return True
        evil.subscribe("gatebell/1/00/+/+/stored")
        scene.worker.publish(topic(MINE, Kind.STORED), b"not for evil")
        arrived = _arrives(scene, evil, topic(MINE, Kind.TAP), b"evil " + name.encode())
        time.sleep(QUIET)
        return not arrived and not evil.got


def by_the_name_of_a_wildcard(scene: Scene) -> bool:
    return _name_opens_nothing(scene, "+/+")


def by_the_name_of_all(scene: Scene) -> bool:
    return _name_opens_nothing(scene, "#")


def by_a_name_of_one_level(scene: Scene) -> bool:
    return _name_opens_nothing(scene, "mingde")


def by_the_name_of_the_checker(scene: Scene) -> bool:
    return _name_opens_nothing(scene, "gatebell-check")


def another_gates_place_by_its_client_id(scene: Scene) -> bool:
    proof = scene.place.folder / "mingde-gate-1.pem"
    with Client(scene.place, proof, "mingde/gate-2", lasting=True):
        time.sleep(QUIET)
        held = scene.second.up
    scene.first, scene.second = scene.as_gate(*MINE), scene.second if held else scene.as_gate(*BESIDE)
    return held


def the_workers_place_by_its_client_id(scene: Scene) -> bool:
    proof = scene.place.folder / "mingde-gate-1.pem"
    with Client(scene.place, proof, INGEST, lasting=True):
        time.sleep(QUIET)
        held = scene.worker.up
    scene.first, scene.worker = scene.as_gate(*MINE), scene.worker if held else scene.as_worker()
    return held


def with_a_revoked_certificate(scene: Scene) -> bool:
    """Of a gate that goes on under a newer one: only the list of revoked certificates knows."""
    return _no_one(Client(scene.place, scene.place.folder / "replaced.pem", "no2/gate-1"))


Case = Callable[[Scene], bool]
ALLOWED: tuple[Case, ...] = (
    all_identities_connect,
    a_gates_own_tap_reaches_the_worker,
    a_gates_own_retained_state_reaches_the_worker,
    the_workers_answer_reaches_that_gate_alone,
    the_workers_session_keeps_what_came_while_it_was_away,
)
BY_ACL: tuple[Case, ...] = (
    a_tap_as_another_gate,
    a_tap_as_the_same_gate_of_another_school,
    a_state_as_another_gate,
    a_tap_on_another_shard,
    a_command_to_another_gate,
    a_stored_to_itself,
    a_worker_makes_a_tap,
    a_worker_makes_a_tap_under_its_own_name,
    a_forged_tap_in_the_last_will,
    a_tap_as_another_gate_over_311,
    everything,
    all_taps,
    another_gates_answers,
    all_taps_by_a_shared_subscription,
    a_worker_reads_answers,
    by_the_name_of_a_wildcard,
    by_the_name_of_all,
    by_a_name_of_one_level,
    by_the_name_of_the_checker,
)
BY_NAME: tuple[Case, ...] = (another_gates_place_by_its_client_id, the_workers_place_by_its_client_id)
BY_LIST: tuple[Case, ...] = (with_a_revoked_certificate,)
BY_SIZE: tuple[Case, ...] = (a_message_above_the_limit,)
BY_SYS: tuple[Case, ...] = (the_brokers_own_topics,)
BY_TLS: tuple[Case, ...] = (
    without_a_certificate,
    without_tls,
    with_a_certificate_that_it_signed_itself,
    with_an_expired_certificate,
    with_the_brokers_own_certificate,
    over_tls_11,
)
ALL: tuple[Case, ...] = (*ALLOWED, *BY_ACL, *BY_NAME, *BY_LIST, *BY_SIZE, *BY_SYS, *BY_TLS)
# Lines of the shipped configuration -> the cases that must fail without them.
CONTROLS: dict[tuple[str, ...], tuple[Case, ...]] = {
    ("acl_file",): BY_ACL,
    ("acl_file", "sys_interval"): BY_SYS,
    ("use_username_as_clientid",): BY_NAME,
    ("crlfile",): BY_LIST,
    ("max_packet_size",): BY_SIZE,
}


def failing(scene: Scene, cases: Iterable[Case]) -> list[str]:
    """Names of the cases that did not hold."""
    return [case.__name__ for case in cases if not _held(scene, case)]


def _held(scene: Scene, case: Case) -> Any:
    try:
        return case(scene)
    except TimeoutError:
        return False
