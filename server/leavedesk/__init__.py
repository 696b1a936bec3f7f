"""The leave desk: families' and staff's requests, decisions and the texts about them, and warnings about absence."""
