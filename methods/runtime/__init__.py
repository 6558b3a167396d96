"""The frozen model, and how prompts meet it."""
