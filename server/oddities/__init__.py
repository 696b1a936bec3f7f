"""Odd uses of cards: shown to staff once, never a reason to drop a tap or to change what a family is told."""
