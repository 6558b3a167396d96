"""Telling others what happened to prompts: what waits in the registry's outbox, over HTTP."""
