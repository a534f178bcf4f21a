"""Our scaling rules beside a model of KEDA, in simulated time."""
