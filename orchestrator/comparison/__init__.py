"""Methods beside each other: the same rows, seeds and judge, and what each costs per task."""
