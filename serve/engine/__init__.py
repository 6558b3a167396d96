"""The engine: from a reference and a row to an answer."""
