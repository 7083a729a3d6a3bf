"""Environments as bytes at rest. ``FORMAT.md`` beside this file is the specification."""
