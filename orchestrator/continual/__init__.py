"""Prompts that learn on: sessions, corrections, reports and benchmarks of continual methods."""
