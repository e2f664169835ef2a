"""The tasks of the daemon, one file each: thin loops that await, call the core, and await again."""
