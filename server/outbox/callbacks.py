"""The addresses at which providers tell us what became of a text: nobody can guess one, and each is for one text."""

import hashlib
import hmac
import uuid
from pathlib import Path

from server import config, crypt


def url(settings: config.Config, provider: str, text_id: uuid.UUID) -> str:
    """Where this provider sends the receipts of this text."""
    mac = _mac(settings, provider, text_id)
    return f"{settings.web.url.rstrip('/')}/callback/{provider}/dlr/{text_id}/{mac}"


def genuine(settings: config.Config, provider: str, text_id: uuid.UUID, mac: str) -> bool:
    """Whether we made this address."""
    return hmac.compare_digest(_mac(settings, provider, text_id).encode(), mac.encode())


def inbound_url(settings: config.Config, provider: str) -> str:
    """Where this provider brings what people write back."""
    return f"{settings.web.url.rstrip('/')}/callback/{provider}/mo/{_mac(settings, provider, 'mo')}"


def genuine_inbound(settings: config.Config, provider: str, mac: str) -> bool:
    """Whether we made this address for replies."""
    return hmac.compare_digest(_mac(settings, provider, "mo").encode(), mac.encode())


def _mac(settings: config.Config, provider: str, subject: uuid.UUID | str) -> str:
    return hmac.digest(_secret(settings), f"{provider} {subject}".encode(), hashlib.sha256).hex()[:32]


def _secret(settings: config.Config) -> bytes:
    if settings.outbox.callback_secret_file:
        return Path(settings.outbox.callback_secret_file).read_bytes().strip()
    return crypt.look_up("outbox callback").encode()
