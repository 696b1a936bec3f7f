"""Asking families where a child is: alerts, contact by contact, the brake before them, and corrections."""
