"""`gatebell-gateway`, whose patience with its threads is a second: for tests of the watchdog."""

import sys

from gateway import link, ports, selftest
from gateway.__main__ import main

ports.STUCK_S = link.STUCK_S = 1.0
selftest.PROVE_S = 0.0

if __name__ == "__main__":
    sys.exit(main())
