"""Tasks and their rows: words to token ids, and token ids to batches."""
