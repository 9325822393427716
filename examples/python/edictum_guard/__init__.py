"""Edictum Guard."""
