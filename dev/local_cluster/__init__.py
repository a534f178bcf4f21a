"""A one-node Kubernetes from Go modules and Debian, for machines without docker.

With kind, or a cluster of your own in KUBE_CONTEXT, nothing here runs.
"""
