"""`workqueue-operator local`: the operator on local processes, for a laptop without a cluster."""
