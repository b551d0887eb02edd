"""What breaks around the house, provoked for real: calls go on, what cannot be done is refused by name."""
