"""Tests: unit, architecture, charts, broker (a real RabbitMQ) and cluster (a real Kubernetes)."""
