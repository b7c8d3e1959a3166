"""Flow runs as pods: the manifests of servers and worker, and the template of the work pool's Jobs."""
