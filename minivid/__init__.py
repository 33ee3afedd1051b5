"""minivid: how a video generator works, small enough to read."""
