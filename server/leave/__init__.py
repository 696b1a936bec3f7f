"""Leave of absence: asked for, decided, and what of it counts on a day."""
