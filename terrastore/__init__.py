"""An artifact store for whole Python environments."""

__version__ = "0.1.0"
