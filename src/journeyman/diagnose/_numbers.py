"""A diagnosis as plain JSON."""

import dataclasses
import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np


def plain(value: Any, without: Collection[str] = ()) -> Any:
    """Dataclasses and arrays as dictionaries and lists, but for fields named in `without`.

    What is not finite becomes None: JSON has no name for it.
    """
    if dataclasses.is_dataclass(value):
        names = [f.name for f in dataclasses.fields(value) if f.name not in without]
        return {name: plain(getattr(value, name), without) for name in names}
    if isinstance(value, Mapping):
        return {key: plain(inner, without) for key, inner in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist(), without)
    if isinstance(value, (tuple, list)):
        return [plain(inner, without) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
