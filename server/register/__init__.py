"""What people see with their own eyes: class registers, the guard's book, slips and passes."""
