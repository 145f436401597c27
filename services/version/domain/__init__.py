"""Versions as pure decisions: what they are, how they live, what their numbers mean, how two of them differ."""
