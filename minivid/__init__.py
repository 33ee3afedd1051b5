"""minivid: how a video generator works, small enough to read."""

from minivid import processors

processors.set_environment()
