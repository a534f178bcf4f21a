"""The demo, the suites, images, dashboards and the local cluster: what only developers of this project run."""
