"""Pupils, their guardians and their classes."""
