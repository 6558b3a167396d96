"""Which version answers: what aliases name, as of one moment, and how the next moment comes in."""
