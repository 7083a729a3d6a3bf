"""What a project asks for: requirements files, read, followed and made canonical.

``lines`` and ``files`` are pure: text and bytes come through a reader. ``disk`` is that reader.
"""

from terrastore.requirements.disk import Disk
from terrastore.requirements.files import RequirementSet, read_requirements

__all__ = ["Disk", "RequirementSet", "read_requirements"]
