"""Measuring: what a viewer and a listener find in a clip, held against what was asked for."""
