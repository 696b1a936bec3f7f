"""Server-sent events: a page hears that something changed."""
