"""Writes docs/asyncapi.yaml from the Structs of gateway/wire.py: `python docs/asyncapi.py`."""

from pathlib import Path
from typing import Any

import msgspec
import yaml

from gateway import wire

TARGET = Path(__file__).with_name("asyncapi.yaml")
GOLDEN = Path(__file__).parents[1] / "tests" / "wire"

CHANNELS = {
    wire.Kind.TAP: ("send", [wire.Taps], "Taps, 1 to 50 a message, QoS 1, not retained"),
    wire.Kind.STATE: ("send", [wire.State], "Birth, heartbeat and last will, QoS 1, retained"),
    wire.Kind.STORED: ("receive", [wire.Stored], "Ids that the server has committed, QoS 1, not retained"),
    wire.Kind.COMMAND: (
        "receive",
        [wire.Resync, wire.Announce, wire.Now, wire.SelfTest, wire.ListPart],
        "What the server asks, QoS 1, not retained",
    ),
}


def document() -> dict[str, Any]:
    """The AsyncAPI 3.0 document, seen from the gateway."""
    structs = [struct for _, group, _ in CHANNELS.values() for struct in group]
    _, schemas = msgspec.json.schema_components(structs, ref_template="#/components/schemas/{name}")
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Gatebell gate line",
            "version": f"{wire.VERSION}.0.0",
            "description": "What a gateway at a school gate and the school's server say to each other over MQTT.",
        },
        "defaultContentType": "application/json",
        "channels": {str(kind): _channel(kind, group, text) for kind, (_, group, text) in CHANNELS.items()},
        "operations": {str(kind): _operation(kind, action) for kind, (action, _, _) in CHANNELS.items()},
        "components": {"messages": {s.__name__: _message(s) for s in structs}, "schemas": schemas},
    }


def _channel(kind: wire.Kind, structs: list[Any], text: str) -> dict[str, Any]:
    return {
        "address": f"{wire.ROOT}/{wire.VERSION}/{{shard}}/{{school}}/{{gateway}}/{kind}",
        "description": text,
        "parameters": {
            "shard": {"description": "two digits: 00 for a single school, crc32(school) % 64 in a district"},
            "school": {"description": "the school's id"},
            "gateway": {"description": "the gateway's id"},
        },
        "messages": {s.__name__: {"$ref": f"#/components/messages/{s.__name__}"} for s in structs},
        "bindings": {"mqtt": {"bindingVersion": "0.2.0"}},
    }


def _operation(kind: wire.Kind, action: str) -> dict[str, Any]:
    binding = {"mqtt": {"qos": 1, "retain": kind is wire.Kind.STATE, "bindingVersion": "0.2.0"}}
    return {"action": action, "channel": {"$ref": f"#/channels/{kind}"}, "bindings": binding}


def _message(struct: Any) -> dict[str, Any]:
    name = struct.__name__
    payloads = [msgspec.json.decode(path.read_bytes()) for path in sorted(GOLDEN.glob(f"{name.lower()}*.json"))]
    return {
        "name": name,
        "summary": (struct.__doc__ or "").strip().splitlines()[0],
        "payload": {"$ref": f"#/components/schemas/{name}"},
        "examples": [{"payload": payload} for payload in payloads],
    }


def text() -> str:
    """The document as YAML."""
    head = "# Generated from gateway/wire.py by docs/asyncapi.py; do not edit.\n"
    return head + yaml.safe_dump(msgspec.to_builtins(document()), sort_keys=False, allow_unicode=True, width=110)


if __name__ == "__main__":
    TARGET.write_text(text(), "utf-8")
