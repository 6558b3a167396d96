"""Composes methods and the registry: data sources, runs on Ray Train, and the command line."""
