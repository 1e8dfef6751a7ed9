"""Settings as text."""

import json
from collections.abc import Mapping, Sequence
from typing import Any


def canonical(settings: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> str:
    """Settings of a stage as text: JSON with sorted keys, so that equal settings are equal text."""
    return json.dumps(settings, sort_keys=True, separators=(",", ":"))
