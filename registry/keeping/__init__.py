"""Keeping the registry whole: which blobs are needed, taking the others away, checking all of it, moving it."""
