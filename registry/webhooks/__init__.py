"""Who is told of what happens: messages that are put in line with the event itself, and delivered after it."""
