"""The tenant: every row belongs to a school; one school is the default and needs no setting up."""
