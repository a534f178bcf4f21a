"""One pass over one WorkQueue: gather, decide, apply, report."""
