"""What a training is made of, besides its stages' own work."""
