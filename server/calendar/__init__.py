"""Terms, school days and bell times: when a pupil is expected."""
