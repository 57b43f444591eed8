"""Arrow's arrays as NumPy's: what Parquet files and Arrow files hold is read through pyarrow."""

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from journeyman.parts import JourneymanError, require

EXTRA = "arrow"


@functools.cache
def pyarrow(module: str = "pyarrow") -> Any:
    """pyarrow, or a module of its."""
    return require(module, extra=EXTRA)


@contextlib.contextmanager
def sound(path: Path) -> Iterator[None]:
    """What pyarrow raises over bytes that it cannot make sense of, as a sentence."""
    try:
        yield
    except (pyarrow().ArrowException, OSError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise JourneymanError(f"'{path}' is damaged or cut short ({said}); copy it again.") from error


def is_numeric(kind: Any) -> bool:
    """Whether the Arrow type is numbers or truths, or lists of them."""
    types = pyarrow().types
    while (inner := _inner(kind)) is not None:
        kind = inner
    return types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)


def numbers(array: Any, name: str, path: Path) -> np.ndarray:
    """An Arrow array of numbers, or of lists of equal length, as `(rows, ...)`.

    Raises `JourneymanError` for blank entries and for lists of unequal length.
    """
    shape = [len(array)]
    while True:
        if array.null_count:
            raise JourneymanError(
                f"{path.name}: '{name}' has {array.null_count:,} blank entries; repair the recording or leave those"
                " episodes out."
            )
        if isinstance(array, pyarrow().ExtensionArray):
            array = array.storage
        elif _inner(array.type) is None:
            return array.to_numpy(zero_copy_only=False).reshape(shape)
        else:
            lengths = np.unique(array.value_lengths().to_numpy(zero_copy_only=False)) if len(array) else [0]
            if len(lengths) > 1:
                raise JourneymanError(
                    f"{path.name}: '{name}' has rows of {lengths[0]} and of {lengths[-1]} numbers; give every row as"
                    " many."
                )
            shape.append(int(lengths[0]))
            array = array.flatten()


def _inner(kind: Any) -> Any:
    """What the type is made of, `None` for one number."""
    arrow = pyarrow()
    if isinstance(kind, arrow.ExtensionType):
        return kind.storage_type
    types = arrow.types
    listed = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    return kind.value_type if listed else None
