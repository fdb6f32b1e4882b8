"""What is minimised, and the banks it is computed against."""
