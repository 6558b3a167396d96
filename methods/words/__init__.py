"""Prompts in words: their template language, what stands in front of a row, how answers are found and patterns vote."""
