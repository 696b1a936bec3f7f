"""Who is inside, the roll call of an evacuation, visitors and staff at the desk."""
