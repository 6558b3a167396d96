"""What goes through the backbone: who waits, whose turn it is, and what runs together."""
