"""The application on Ray Serve: replicas, how many, and what stands before them."""
