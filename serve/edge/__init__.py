"""Between the network and the application: who may ask, what is too much, and how errors look."""
