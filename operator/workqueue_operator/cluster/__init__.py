"""What runs the workers: the port, and Kubernetes behind it."""
