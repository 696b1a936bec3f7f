"""The Pi at the gate: bytes from a card reader -> taps on disk -> MQTT."""

__version__ = "0.1.0"
