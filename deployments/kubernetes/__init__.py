"""Flow runs as pods: manifests of servers and worker, and the template of the pool's Jobs."""
