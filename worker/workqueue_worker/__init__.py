"""Runs tasks: takes one message at a time, acks it after the work."""
