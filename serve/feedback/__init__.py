"""Corrections: held in memory and nowhere else, lent to a trainer, and counted."""
