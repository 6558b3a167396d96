"""What a prompt is before training: its shape, its place and its first values."""
