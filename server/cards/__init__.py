"""Identifiers that pupils carry: cards, several for one pupil, lost and temporary ones."""
