"""A disk that takes no more, for a while."""

import contextlib
from collections.abc import Iterator

import pytest


@contextlib.contextmanager
def files_below(size: int) -> Iterator[None]:
    """No file of this process may grow beyond `size` bytes: what is written is refused as on a full disk."""
    resource = pytest.importorskip("resource", reason="limits of a process are POSIX's")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
