"""Staff accounts: login, roles with their scope, sessions that die on the server."""
