"""A cluster of local processes: manifests in, pods that are programs of this machine."""
