"""What is said of versions without being part of them, and prompts that are found by it."""
