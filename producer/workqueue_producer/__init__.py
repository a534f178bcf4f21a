"""Sends tasks: the `new-task` command and the `Publisher` for applications."""
