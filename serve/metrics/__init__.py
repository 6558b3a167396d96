"""What a server tells of its own work, and where the numbers go."""
