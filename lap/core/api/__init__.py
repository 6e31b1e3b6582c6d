"""What every app's API is built from: who may call, what errors look like, bodies and pages.

Only what the settings name is imported here. The views are in ``lap.core.api.views``: REST
framework reads the settings while it defines its own base view.
"""

from lap.core.api.authentication import HasKey
from lap.core.api.errors import answer_error

__all__ = ["HasKey", "answer_error"]
