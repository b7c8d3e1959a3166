"""WHERE: work pools, images and stacks."""
