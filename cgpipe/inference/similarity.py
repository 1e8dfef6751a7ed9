"""Similarity."""


def group_coherence(*a): ...
