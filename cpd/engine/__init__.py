"""The training loop and what keeps it safe. Receives models and objectives, imports neither."""
