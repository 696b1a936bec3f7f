"""How pupils attended: by day, week, month and term, of pupil, class, grade and school; registers and exports."""
