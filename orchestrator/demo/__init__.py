"""The demonstration data: two small tasks, every row written for this project and made up."""
