"""How long the durability tests run: some minutes in the slow tier, or in full, as a release must have passed them.

`GATEBELL_FULL=yes ./test --slow tests/durability` is the full form: ten minutes of chaos and 200 power cuts.
"""

import os

FULL = os.environ.get("GATEBELL_FULL", "") == "yes"
CHAOS_S = float(os.environ.get("GATEBELL_CHAOS_SECONDS", "600" if FULL else "90"))
TAPS_PER_SECOND = 9 if FULL else 6
LEAST_TAPS, LEAST_KILLS = (5000, 50) if FULL else (int(CHAOS_S * TAPS_PER_SECOND), int(CHAOS_S / 12))
CUT_STORIES, CUT_ROUNDS = (25, 2) if FULL else (3, 1)  # each round of a story has four power cuts
PATIENCE_S = 300 if FULL else 60
