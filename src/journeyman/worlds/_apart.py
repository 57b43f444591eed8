"""Processes for environments that begin afresh: a fork keeps the locks that JAX's threads held, and waits for ever."""

import contextlib
import multiprocessing
import sys
import types
from collections.abc import Iterator
from typing import Any

METHOD = "forkserver" if sys.platform == "linux" else "spawn"


@contextlib.contextmanager
def begun_apart(entry_point: Any) -> Iterator[str]:
    """How processes are started that begin inside of this: none is forked from this one or runs its script again.

    On Linux they are forks of a server, which imports Gymnasium and its environment at `entry_point` once; all else
    each imports for itself. What the running script defines goes to them by value (cloudpickle), so it needs no
    `if __name__ == "__main__"`.
    """
    context = multiprocessing.get_context(METHOD)
    if METHOD == "forkserver":  # heeded when the server begins, and without effect afterwards
        module = str(entry_point).partition(":")[0]
        known = [module] if module.startswith("gymnasium.") else []  # any other may start threads when it is imported
        context.set_forkserver_preload(["gymnasium.vector.async_vector_env", *known])
    script, sys.modules["__main__"] = sys.modules["__main__"], types.ModuleType("__main__")
    try:
        yield METHOD
    finally:
        sys.modules["__main__"] = script
