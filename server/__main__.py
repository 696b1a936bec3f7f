"""`python -m server` is `gatebell`."""

from server.cli import main

main()
