"""Small parts that several networks share."""
