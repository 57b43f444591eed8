"""Decisions for host worlds: NumPy calls where a decision is small, a compiled program where it is not.

A simulator's threads fall asleep while the policy decides, and a compiled program takes longer to start than a small
network takes to run. So the behaviour is traced once, and its trace is played by NumPy if NumPy knows every operation
in it and there is little to compute. What depends on the policy alone is computed once a rollout.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from journeyman.collect._behaviour import AbstractBehaviour, Told
from journeyman.collect._form import Form, taken_apart

SMALL = 20_000_000
"""Multiplications and additions of a decision up to which NumPy decides (64 environments and three layers of 256)."""


class Decider(NamedTuple):
    """`act` goes from an observation and one step's leaves of noise to the action and the leaves of what is `kept`."""

    act: Callable[[PyTree, Sequence[np.ndarray]], tuple[Any, list[Any]]]
    kept: Any
    by_numpy: bool


@eqx.filter_jit
def drawn(behaviour: AbstractBehaviour, key: Array, num_steps: int, count: int) -> PyTree:
    """The noise of `num_steps` decisions, step t from `fold_in(key, t)`; each leaf leads with `(num_steps, count)`."""
    return jax.vmap(lambda t: behaviour.draw(count, jax.random.fold_in(key, t)))(jnp.arange(num_steps))


@eqx.filter_jit
def told(behaviour: AbstractBehaviour, observation: PyTree, action: Array, kept: PyTree) -> Told:
    """`behaviour.tell` for a whole rollout. A target that is the action itself comes back as `None`."""
    said = behaviour.tell(observation, action, kept)
    return said._replace(target=None) if said.target is action else said


def decider(behaviour: AbstractBehaviour, observation: PyTree, noise: PyTree) -> Decider:
    """`behaviour.act` as a function of NumPy arrays, traced once for all arguments of these shapes."""
    leaves, form = taken_apart(behaviour)
    inputs, input_structure = jax.tree.flatten((observation, noise))
    shapes = tuple((leaf.shape, leaf.dtype.name) for leaf in (*leaves, *inputs))
    x64 = bool(jax.config.read("jax_enable_x64"))
    trace = _traced(form, input_structure, shapes, x64)
    known = [np.asarray(leaf) for leaf in leaves]
    call = trace.compiled if trace.program is None else trace.program.with_known(known)
    place = [jnp.asarray(leaf) for leaf in leaves] if trace.program is None else known

    def act(observation: PyTree, noise: Sequence[np.ndarray]) -> tuple[Any, list[Any]]:
        seen = [observation] if isinstance(observation, np.ndarray) else jax.tree.leaves(observation)
        action, *kept = call(place, seen, noise)
        return action, kept

    return Decider(act, trace.kept, trace.program is not None)


class _Trace(NamedTuple):
    """A behaviour's `act` in both forms; `program` is None where NumPy should not or cannot play it."""

    compiled: Callable[..., Any]
    program: "_Program | None"
    kept: Any


@functools.lru_cache(maxsize=64)
def _traced(form: Form, inputs: Any, shapes: tuple, x64: bool) -> _Trace:
    del x64  # a part of what decides the trace
    found: dict[str, Any] = {}

    def act(leaves: Sequence[Array], seen: Sequence[Array], noise: Sequence[Array]) -> tuple:
        action, kept = form.behaviour(leaves).act(*jax.tree.unflatten(inputs, [*seen, *noise]))
        flat, found["kept"] = jax.tree.flatten(kept)
        return (action, *flat)

    like = [jax.ShapeDtypeStruct(shape, np.dtype(name)) for shape, name in shapes]
    count = form.structure.num_leaves
    seen_count = jax.tree.structure(jax.tree.unflatten(inputs, range(inputs.num_leaves))[0]).num_leaves
    arguments = (like[:count], like[count : count + seen_count], like[count + seen_count :])
    closed = jax.make_jaxpr(act)(*arguments)
    return _Trace(jax.jit(act), _Program.of(closed, count), found["kept"])


# -- a trace, played by NumPy ----------------------------------------------------------------------------


class _Call(NamedTuple):
    """One operation: which places it reads and writes."""

    function: Callable[..., Any]
    reads: tuple[int, ...]
    writes: int


class _Program(NamedTuple):
    """Operations in order: `once` depends on nothing but the first `leaves` arguments, `always` on the others too."""

    constants: dict[int, Any]
    once: list[_Call]
    always: list[_Call]
    arguments: tuple[int, ...]
    leaves: int
    outputs: tuple[int, ...]

    @classmethod
    def of(cls, closed: Any, leaves: int) -> "_Program | None":
        """The program of a trace, or None where it is large or holds an operation that is not known here."""
        reader = _Reader()
        arguments = tuple(reader.place(variable) for variable in closed.jaxpr.invars)
        try:
            outputs = reader.read(closed, arguments)
        except _NotKnown:
            return None
        moving, always, once = set(arguments[leaves:]), [], []
        for call in reader.calls:
            moves = not moving.isdisjoint(call.reads)
            moving |= {call.writes} if moves else set()
            (always if moves else once).append(call)
        return cls(reader.constants, once, always, arguments, leaves, outputs) if reader.work <= SMALL else None

    def with_known(self, known: Sequence[np.ndarray]) -> Callable[..., Any]:
        """A call that has done what needs no observation."""
        places: dict[int, Any] = {**self.constants, **dict(zip(self.arguments, known, strict=False))}
        with np.errstate(all="ignore"):
            _play(self.once, places)
        given = self.arguments[self.leaves :]

        def call(_: Any, seen: Sequence[np.ndarray], noise: Sequence[np.ndarray]) -> tuple:
            places.update(zip(given, (*seen, *noise), strict=True))
            with np.errstate(all="ignore"):
                _play(self.always, places)
            return tuple(places[output] for output in self.outputs)

        return call


def _play(calls: list[_Call], places: dict[int, Any]) -> None:
    for function, reads, writes in calls:
        places[writes] = function(*[places[place] for place in reads])


class _NotKnown(Exception):
    """An operation that NumPy is not taught."""


class _Reader:
    """Writes the operations of a trace, nested ones included, into one list."""

    def __init__(self) -> None:
        self.calls: list[_Call] = []
        self.constants: dict[int, Any] = {}
        self.work = 0
        self._count = 0

    def place(self, _: Any = None) -> int:
        """A new place."""
        self._count += 1
        return self._count

    def read(self, closed: Any, arguments: Sequence[int]) -> tuple[int, ...]:
        """The places of the outputs."""
        where = dict(zip(closed.jaxpr.invars, arguments, strict=True))
        for variable, value in zip(closed.jaxpr.constvars, closed.consts, strict=True):
            where[variable] = self._constant(np.asarray(value))

        def of(atom: Any) -> int:
            if isinstance(atom, jax.extend.core.Literal):
                return self._constant(np.asarray(atom.val, atom.aval.dtype))  # type: ignore[attr-defined]
            return where[atom]

        for equation in _needed(closed.jaxpr):
            reads = tuple(of(atom) for atom in equation.invars)
            where.update(zip(equation.outvars, self._written(equation, reads), strict=True))
        return tuple(of(atom) for atom in closed.jaxpr.outvars)

    def _written(self, equation: Any, reads: tuple[int, ...]) -> tuple[int, ...]:
        name, values = equation.primitive.name, equation.params
        inner = values.get("jaxpr", values.get("call_jaxpr"))
        if name in _NESTED and inner is not None:
            return self.read(inner, reads)
        if name == "split":
            return tuple(self._call(piece, reads) for piece in _pieces(**values))
        if name not in _OPERATIONS or len(equation.outvars) != 1:
            raise _NotKnown(name)
        if name == "dot_general":
            self.work += _multiplications(equation)
        return (self._call(_OPERATIONS[name](**values), reads),)

    def _call(self, function: Callable[..., Any], reads: tuple[int, ...]) -> int:
        writes = self.place()
        self.calls.append(_Call(function, reads, writes))
        return writes

    def _constant(self, value: np.ndarray) -> int:
        place = self.place()
        self.constants[place] = value
        return place


def _needed(jaxpr: Any) -> list[Any]:
    """The equations that an output depends on: an expert that ignores its key asks for no random bits."""
    wanted, found = set(map(id, jaxpr.outvars)), []
    for equation in reversed(jaxpr.eqns):
        if not wanted.isdisjoint(map(id, equation.outvars)):
            wanted.update(map(id, equation.invars))
            found.append(equation)
    return found[::-1]


_NESTED = frozenset("jit pjit closed_call custom_jvp_call custom_vjp_call".split())


def _multiplications(equation: Any) -> int:
    (contracted, _), _ = equation.params["dimension_numbers"]
    inner = math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)
    return 2 * inner * math.prod(equation.outvars[0].aval.shape)


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    """An operation whose parameters (names for a compiler) do not matter to NumPy."""
    return lambda **_: function


def _dot(dimension_numbers: Any, **_: Any) -> Callable[..., Any]:
    (left, right), (batch, _) = dimension_numbers
    if batch:
        raise _NotKnown("a batched product")
    if left == (1,) and right == (0,):
        return np.matmul
    return lambda x, y: np.tensordot(x, y, (left, right))


def _broadcast(shape: Any, broadcast_dimensions: Any, **_: Any) -> Callable[..., Any]:
    def broadcast(x: Any) -> np.ndarray:
        middle = [1] * len(shape)
        for axis, size in zip(broadcast_dimensions, np.shape(x), strict=True):
            middle[axis] = size
        return np.broadcast_to(np.reshape(x, middle), shape)

    return broadcast


def _slice(start_indices: Any, limit_indices: Any, strides: Any, **_: Any) -> Callable[..., Any]:
    steps = strides or (None,) * len(start_indices)
    chosen = tuple(slice(*one) for one in zip(start_indices, limit_indices, steps, strict=True))
    return lambda x: x[chosen]


def _pieces(sizes: Any, axis: int, **_: Any) -> list[Callable[..., Any]]:
    ends = np.cumsum(sizes)
    spans = [(slice(None),) * axis + (slice(end - size, end),) for size, end in zip(sizes, ends, strict=True)]
    return [lambda x, span=span: x[span] for span in spans]


def _reduced(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda axes, **_: lambda x: function(x, axis=axes)


def _one_axis(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda axes, index_dtype, **_: lambda x: function(x, axis=axes[0]).astype(index_dtype)


_OPERATIONS: dict[str, Callable[..., Callable[..., Any]]] = {
    **{
        name: _plain(function)
        for name, function in {
            "add": np.add,
            "add_any": np.add,
            "sub": np.subtract,
            "mul": np.multiply,
            "div": np.true_divide,
            "max": np.maximum,
            "min": np.minimum,
            "neg": np.negative,
            "abs": np.abs,
            "sign": np.sign,
            "floor": np.floor,
            "exp": np.exp,
            "log": np.log,
            "log1p": np.log1p,
            "expm1": np.expm1,
            "tanh": np.tanh,
            "sin": np.sin,
            "cos": np.cos,
            "sqrt": np.sqrt,
            "square": np.square,
            "logistic": lambda x: np.reciprocal(1 + np.exp(-x)),
            "eq": np.equal,
            "ne": np.not_equal,
            "lt": np.less,
            "le": np.less_equal,
            "gt": np.greater,
            "ge": np.greater_equal,
            "and": np.bitwise_and,
            "or": np.bitwise_or,
            "not": np.invert,
            "is_finite": np.isfinite,
            "stop_gradient": lambda x: x,
            "copy": lambda x: x,
            "clamp": lambda low, x, high: np.minimum(np.maximum(x, low), high),
            "select_n": lambda which, no, *yes: np.where(which, yes[0], no) if yes else no,
        }.items()
    },
    "dot_general": _dot,
    "broadcast_in_dim": _broadcast,
    "slice": _slice,
    "reduce_sum": _reduced(np.sum),
    "reduce_max": _reduced(np.max),
    "reduce_min": _reduced(np.min),
    "reduce_and": _reduced(np.all),
    "reduce_or": _reduced(np.any),
    "argmax": _one_axis(np.argmax),
    "argmin": _one_axis(np.argmin),
    "convert_element_type": lambda new_dtype, **_: lambda x: np.asarray(x).astype(new_dtype),
    "integer_pow": lambda y, **_: lambda x: np.power(x, np.asarray(y, np.asarray(x).dtype)),
    "reshape": lambda new_sizes, **_: lambda x: np.reshape(x, new_sizes),
    "squeeze": lambda dimensions, **_: lambda x: np.squeeze(x, dimensions),
    "transpose": lambda permutation, **_: lambda x: np.transpose(x, permutation),
    "concatenate": lambda dimension, **_: lambda *xs: np.concatenate(xs, dimension),
    "iota": lambda dtype, shape, dimension, **_: lambda: _counted(dtype, shape, dimension),
}


def _counted(dtype: Any, shape: Any, dimension: int) -> np.ndarray:
    middle = [size if axis == dimension else 1 for axis, size in enumerate(shape)]
    return np.broadcast_to(np.arange(shape[dimension], dtype=dtype).reshape(middle), shape)
