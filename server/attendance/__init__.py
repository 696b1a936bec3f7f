"""A pupil's day, judged whole from all its facts."""
