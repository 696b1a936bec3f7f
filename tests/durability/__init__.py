"""What survives a pulled plug, a kill at any moment and a bad network; and mutants that prove that these tests bite."""
