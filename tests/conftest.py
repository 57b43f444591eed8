"""Strict numerics for every test, the real data where it is there, and double precision where a test asks.

The processes that tests start (the command line, a killed run) are left as a user has them.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax  # after the environment that it reads
import optax
import pytest

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


def _promoting(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        with jax.numpy_dtype_promotion("standard"):
            return function(*args, **kwargs)

    return call


# Adam in Optax 0.2 raises a Python float to an integer count, which strict promotion refuses. It is let off
# here, alone, and nothing of ours with it.
optax.tree.bias_correction = _promoting(optax.tree.bias_correction)

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def x64() -> Iterator[None]:
    """Double precision inside one test; the library itself must work in single precision."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the repository; a test that needs it skips where it is not."""
    path = ROOT.parent / "shared" / "data"
    if not path.is_dir():
        pytest.skip("needs the real data in ../shared/data (relative to the repository), which is not there")
    return path
