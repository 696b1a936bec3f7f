"""The one file that a new gate takes, a secret: who it is, where its broker is, what it proves itself with."""

import json
from dataclasses import dataclass

from gateway import wire
from server.config import Config
from server.gates import access
from server.gates.authority import Authority, Issued

_TEXT = """# Gatebell: enrolment of {gateway} of {school}.
# SECRET: whoever has this file can speak as this gate. Carry it there on a stick or by scp, let
#   sudo gatebell-gateway enrol FILE --config /etc/gatebell/gateway.toml
# take it, and destroy it. If it may have been seen: gatebell gate revoke {school} {gateway}
format = 1
school = {school_quoted}
gateway = {gateway_quoted}
shard = {shard}
urls = {urls}
ca = '''
{ca}'''
{proof}"""


@dataclass(frozen=True)
class Gate:
    """Who the file is for."""

    school_id: str
    gateway_id: str


def urls(settings: Config) -> tuple[str, ...]:
    """Where gates are sent."""
    return settings.broker.urls or settings.mqtt.urls


def with_certificate(settings: Config, authority: Authority, gate: Gate, issued: Issued) -> str:
    """For a gate that can hold a certificate: any Pi can."""
    return _text(settings, authority, gate, f"credential = '''\n{issued.pem}'''\n")


def with_password(settings: Config, authority: Authority, gate: Gate, password: str) -> str:
    """For a device that cannot; the broker still proves itself by certificate."""
    username = access.identity(gate.school_id, gate.gateway_id)
    return _text(settings, authority, gate, f"username = {_quoted(username)}\npassword = {_quoted(password)}\n")


def _text(settings: Config, authority: Authority, gate: Gate, proof: str) -> str:
    return _TEXT.format(
        school=gate.school_id,
        gateway=gate.gateway_id,
        school_quoted=_quoted(gate.school_id),
        gateway_quoted=_quoted(gate.gateway_id),
        shard=_quoted(wire.shard(gate.school_id, sharded=settings.ingest.sharded)),
        urls=json.dumps(list(urls(settings)), ensure_ascii=False),
        ca=authority.pem,
        proof=proof,
    )


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # a JSON string is a TOML string
