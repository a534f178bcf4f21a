"""How many workers, why, and which of them may go. Pure."""
