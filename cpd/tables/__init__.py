"""Result files to tables."""
