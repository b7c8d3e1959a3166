"""Plans, archives and rescues behind the commands of maintenance."""
