"""What a school may set: one page for each feature's policy, in a teacher's words."""
