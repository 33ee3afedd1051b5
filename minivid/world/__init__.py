"""The toy world: a simulator of bouncing digits with picture, sound and caption, and no networks."""
