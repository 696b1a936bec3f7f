"""The message queue: what is to be sent, what became of it, and the providers that carry it."""
