"""Scales worker Deployments from the messages_ready of their queues, and says why."""
