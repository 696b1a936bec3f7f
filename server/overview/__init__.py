"""Pages that join features: Today, a class's day, a pupil."""
