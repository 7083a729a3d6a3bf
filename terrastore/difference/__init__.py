"""Which parts of two requests differ, as a person would say it."""

from terrastore.difference.documents import differences, same_packages
from terrastore.difference.inputs import file_differences
from terrastore.difference.values import Difference, distance, told

__all__ = ["Difference", "differences", "distance", "file_differences", "same_packages", "told"]
