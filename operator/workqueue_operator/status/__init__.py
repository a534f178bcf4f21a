"""What people read: conditions, status, and the explanation. Pure."""
