"""Prompts with all that belongs to them in one file, from one registry to another."""
