"""The demo school: 786 pupils, their families, a month of history, and one Wednesday morning at the gate."""
