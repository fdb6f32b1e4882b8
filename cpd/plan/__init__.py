"""What the config asks for, from the config alone: jobs, hours, bytes, and the files that a person must put there."""
