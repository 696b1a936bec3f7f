"""Raw facts from the gates, never edited, and the payloads that were none."""
