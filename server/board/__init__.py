"""Pages on which staff work with missing pupils and with what families write back."""
