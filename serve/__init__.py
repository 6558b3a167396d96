"""Serving: every promoted prompt from one frozen backbone, in mixed batches."""
