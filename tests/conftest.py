"""Strict numerics for every test, the real data where it is there, and double precision where a test asks.

The processes that tests start (the command line, a killed run) are left as a user has them.
"""

import functools
import gc
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax  # after the environment that it reads
import jaxtyping
import optax
import pytest
from jax._src.interpreters import mlir
from jaxlib.mlir import ir

# Most of the suite's time is compiling programs that run once, and half of that is optimising them and building
# their fusions by MLIR. XLA reads its flags when it starts, so the processes that tests start do not inherit them.
_QUICKLY_COMPILED = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
if jax.version.__version_info__ < (0, 11):  # later ones end the process at a flag that they do not have
    _QUICKLY_COMPILED += " --xla_cpu_use_fusion_emitters=false"
_FLAGS = os.environ.get("XLA_FLAGS")
QUICKLY = f"{_FLAGS or ''} {_QUICKLY_COMPILED}".strip()
"""For processes that only compare themselves with others of their kind."""
os.environ["XLA_FLAGS"] = QUICKLY
jax.devices()
if _FLAGS is None:
    del os.environ["XLA_FLAGS"]
else:
    os.environ["XLA_FLAGS"] = _FLAGS

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

# JAX registers all of MLIR's dialects for each program that it compiles: a tenth of the suite's time. Here each thread
# registers them once, but for what is compiled while another program is lowered, which would land inside that one.
_own_context = mlir.make_ir_context
_contexts = threading.local()


def _context() -> ir.Context:
    if ir.Context.current is not None:
        return _own_context()
    if not hasattr(_contexts, "shared"):
        _contexts.shared = _own_context()
    return _contexts.shared


mlir.make_ir_context = _context

# Nine tenths of what is checked has no array in its annotations. There Beartype alone looks, once a call, where
# jaxtyping binds the arguments and looks at them twice; and what is defined anew at each call is checked once, for to
# make its checks takes longer than most of these calls. Both were a sixth of the suite's time.
_checked_with_arrays = jaxtyping.jaxtyped
_met: set[CodeType] = set()


def _has_arrays(annotation: Any) -> bool:
    if isinstance(annotation, str):
        return "[" in annotation
    if isinstance(annotation, type) and issubclass(annotation, jaxtyping.AbstractArray | jaxtyping.PyTree):
        return annotation is not jaxtyping.PyTree
    return any(_has_arrays(part) for part in getattr(annotation, "__args__", ()))


def _checked(*, typechecker: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def decorate(made: Any) -> Any:
        if not isinstance(made, FunctionType):
            return _checked_with_arrays(made, typechecker=typechecker)
        if "<locals>" in made.__qualname__:
            if made.__code__ in _met:
                return made
            _met.add(made.__code__)
        if any(map(_has_arrays, made.__annotations__.values())):
            return _checked_with_arrays(made, typechecker=typechecker)
        return _with_a_switch(made, typechecker(made))

    return decorate


def _with_a_switch(made: Callable[..., Any], checked: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(made)
    def call(*args: Any, **kwargs: Any) -> Any:
        return (made if jaxtyping.config.jaxtyping_disable else checked)(*args, **kwargs)

    return call


jaxtyping.jaxtyped = _checked

# Tracing makes objects by the hundred thousand, and each collection walks over all that pytest holds: a twentieth
# of the suite's time. What is there when the tests are collected stays.
gc.set_threshold(200_000, 20, 50)


def pytest_collection_finish() -> None:
    """Leave out of every later collection what there is."""
    gc.collect()
    gc.freeze()


ROOT = Path(__file__).resolve().parents[1]


# XLA maps every program it compiles into memory, a process may hold 65,530 maps on Linux, and a worker that
# runs half the suite would compile past that and be killed without a word.
_MAPS = Path("/proc/self/maps")
_MANY_MAPS = 20_000


@pytest.fixture(scope="module", autouse=True)
def few_programs() -> Iterator[None]:
    """Forget compiled programs after a module when many are held; the next module compiles its own."""
    yield
    if _MAPS.exists() and _MAPS.read_bytes().count(b"\n") > _MANY_MAPS:
        jax.clear_caches()


@pytest.fixture
def x64() -> Iterator[None]:
    """Double precision inside one test; the library itself must work in single precision."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def unannotated() -> Iterator[None]:
    """Without the checks of annotations, which users do not have: what happens when an argument is of another kind."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the repository; a test that needs it skips where it is not."""
    path = ROOT.parent / "shared" / "data"
    if not path.is_dir():
        pytest.skip("needs the real data in ../shared/data (relative to the repository), which is not there")
    return path
