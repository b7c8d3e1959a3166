"""The local stack: servers, a work pool with a worker and the deployments, on this machine, by one command."""
