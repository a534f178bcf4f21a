"""What starts a pass: the watch of the API server, one loop for each broker, and the border that each runs in."""
