"""The local stack: servers, a work pool with a worker and the deployments, by one command."""
