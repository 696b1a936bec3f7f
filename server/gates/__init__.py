"""Gateways and readers: where they stand, when they were last heard, when they were silent."""
