"""The part: what it needs and gives, whom it owes, and its form on disk."""

import dataclasses
import functools
import hashlib
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from journeyman._refusals import JourneymanError, did_you_mean, refuse
from journeyman.parts._kinds import Kind, article, kind_of

Number = float | int | Float[Array | np.ndarray, "..."]
"""A hyper-parameter that only enters arithmetic: one number, or an array of one for each member of a `sweep`."""

CAPABILITIES: dict[str, str] = {
    "density": "log π(action | observation) can be evaluated and differentiated",
    "discrete actions": "actions are integers from a finite set",
    "continuous actions": "actions are real vectors",
    "state-dependent spread": "how widely actions are spread is a function of the observation",
    "value baseline": "a state value V(observation) is fitted along the way",
    "metric": "the curvature of a step is known, so that its length can be set in nats",
    "rewards": "the reward of every step is known",
    "world": "there is something to act in",
    "expert": "someone can label an observation with an action",
    "teacher": "what becomes likelier was chosen by someone else than the policy: demonstrations, or an expert",
    "settable state": "a world can be put into a given state",
    "differentiable dynamics": "derivatives of the next state with respect to state and action exist",
    "frames": "pictures of an episode can be rendered",
}


def holds(*conditions: Any) -> bool:
    """Whether conditions on a part's numbers hold, for all of them where there are several (see `Number`).

    Of a number that is only traced nothing is known, and it was checked before: the condition is taken to hold.
    """
    return all(isinstance(condition, Tracer) or bool(np.all(condition)) for condition in conditions)


def matmul(x: Array, y: Array) -> Array:
    """x @ y with every digit of its numbers.

    Without being told, JAX lets a device round the factors for speed: to 11 binary digits of 24 on NVIDIA's (TF32), to
    8 on TPUs. What holds to rounding on a CPU would hold to three digits there.
    """
    return jnp.matmul(x, y, precision=jax.lax.Precision.HIGHEST)


OBTAINED: dict[str, str] = {
    "World": "make one with journeyman.world(NAME)",
    "DensityPolicy": "make one with journeyman.policy(world, jax.random.key(0)), or journeyman.load(FOLDER)",
    "Head": "pass one, such as journeyman.policies.SquashedGaussian.make(world.action_space), or leave it out",
    "Behaviour": "wrap a policy as journeyman.collect.Mean(policy), or Sample(policy)",
    "Episodes": "read some with journeyman.datasets.read(FILE).episodes, or play some with journeyman.collect.play",
    "Learner": "choose a recipe, such as journeyman.algorithms.bc()",
    "Plan": "write journeyman.Plan(steps=100_000, batch=2048)",
    "Recorder": "write journeyman.Recorder(FOLDER)",
}
"""How one comes by what is asked for most; of any other kind of part a refusal names the choices."""


def mistaken(name: str, value: Any, kind: Any, advice: str = "") -> list[str]:
    """Why `value` is no `kind` (class or annotation), as `name` must be; the remedy: its part meant, or `advice`."""
    cls = kind if isinstance(kind, type) else object
    wanted = kind_of(kind) or Kind(article(cls.__name__), lambda value: isinstance(value, cls))
    if wanted.admits(value):
        return []
    fields = [f.name for f in dataclasses.fields(value)] if dataclasses.is_dataclass(value) else ()
    held = [f for f in getattr(value, "_fields", fields) if cls is not object and isinstance(getattr(value, f, 0), cls)]
    choices = [n for n, part in _PARTS.items() if issubclass(part, cls)]
    obtained = OBTAINED.get(cls.__name__.removeprefix("Abstract")) or f"pass one of {', '.join(choices)}"
    advice = f"pass its .{held[0]}" if held else advice or obtained
    if isinstance(value, type) or inspect.isroutine(value):
        found = f"the {'class' if isinstance(value, type) else 'function'} '{value.__name__}'"
    else:
        found = repr(value)[:60] if isinstance(value, str | int | float | None) else article(type(value).__name__)
    if isinstance(value, type) and issubclass(value, cls):
        advice = "pass an instance of it"
    return [f"{name} is {found}, and {wanted.words} is needed; {advice}."]


_PARTS: dict[str, type["AbstractPart"]] = {}


class AbstractPart(eqx.Module):
    """A piece of a recipe that declares what it needs, what it gives, and whom it owes.

    `needs` and `gives` are names from `CAPABILITIES` (an outside part may add its own). `unwired` names what
    the part has in principle but this version does not connect yet, so that a refusal can tell the two apart.
    `added` are fields that came after the part was first written to disk, each with the value that it has in a
    description without it; with that value it is not written.
    `citation` is the BibTeX of the method; the report prints it for everything that ran.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    gives: ClassVar[frozenset[str]] = frozenset()
    unwired: ClassVar[frozenset[str]] = frozenset()
    added: ClassVar[Mapping[str, Any]] = {}
    citation: ClassVar[str] = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not cls.__name__.startswith(("Abstract", "_")):
            _PARTS[cls.__name__] = cls
        if "__check_init__" in vars(cls):
            cls.__check_init__ = _of_right_kinds(cls.__check_init__)  # type: ignore[method-assign]

    def __check_init__(self) -> None:
        refuse(_wrong_kinds(self))

    def provides(self) -> frozenset[str]:
        """The capabilities of this instance: `gives`, unless they depend on how it was built."""
        return self.gives

    def requires(self) -> frozenset[str]:
        """What this instance needs of the others: `needs`, unless that depends on how it was built."""
        return self.needs


def _of_right_kinds(check: Callable[[Any], None]) -> Callable[[Any], None]:
    """`check` for a part that holds what its annotations say: Equinox asks a class before those it is derived from."""

    @functools.wraps(check)
    def after(self: AbstractPart) -> None:
        refuse(_wrong_kinds(self))
        check(self)

    return after


def _wrong_kinds(part: AbstractPart) -> list[str]:
    """What is in a field whose annotation says something else, in sentences."""
    found, cls = [], type(part)
    for field, kind in _checked_fields(cls):
        value = getattr(part, field.name)
        if not kind.admits(value):
            found += mistaken(f"`{field.name}` of {cls.__name__}", value, field.type, _usual(field))
    return found


@functools.cache
def _checked_fields(cls: type[AbstractPart]) -> list[tuple[dataclasses.Field[Any], Kind]]:
    """The fields of `cls` whose annotation says a kind, and which."""
    kinds = [(field, kind_of(field.type)) for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    return [(field, kind) for field, kind in kinds if kind is not None]


def _usual(field: dataclasses.Field[Any]) -> str:
    """What to pass for a field that holds no part."""
    if isinstance(field.type, type) and issubclass(field.type, AbstractPart):
        return ""
    return "pass one" if field.default in (dataclasses.MISSING, None) else f"pass one, such as {field.default!r:.60}"


def walk(part: Any, *, speaking: bool = False) -> list[AbstractPart]:
    """Every part inside `part`, itself first; `speaking`, one with a `provides` of its own speaks for all inside it."""
    found: list[AbstractPart] = [part] if isinstance(part, AbstractPart) else []
    if speaking and found and type(part).provides is not AbstractPart.provides:
        return found
    inside = part if isinstance(part, (tuple, list)) else ()
    if dataclasses.is_dataclass(part):
        inside = [getattr(part, field.name, None) for field in dataclasses.fields(part)]
    return found + [inner for item in inside for inner in walk(item, speaking=speaking)]


def problems(*parts: AbstractPart, later: frozenset[str] = frozenset()) -> list[str]:
    """Every need among `parts` that no other part meets, each as one of two sentences.

    `later` are the capabilities that others will bring, who are not here yet.
    """
    everything = [inner for part in parts for inner in walk(part)]
    given = later.union(*(one.provides() for part in parts for one in walk(part, speaking=True)))
    found = []
    for inner in everything:
        for need in sorted(inner.requires() - given):
            me, meaning = type(inner).__name__, CAPABILITIES.get(need, need)
            almost = [type(p).__name__ for p in everything if need in p.unwired]
            others = ", ".join(dict.fromkeys(type(p).__name__ for p in everything if p is not inner))
            if almost:
                found.append(
                    f"{me} with {almost[0]} is not wired yet: {almost[0]} has '{need}' ({meaning}) but this version"
                    f" does not connect the two; choose another part that gives '{need}'."
                )
            else:
                found.append(
                    f"{me} needs '{need}' ({meaning}), and none of {others or 'the other parts'} can give it;"
                    f" choose a part that gives '{need}'."
                )
    return found


def check(*parts: AbstractPart, later: frozenset[str] = frozenset()) -> None:
    """Refuse parts that cannot work together, all reasons at once (see `problems`)."""
    refuse(problems(*parts, later=later))


def citations(*parts: AbstractPart) -> list[str]:
    """The BibTeX entries of everything inside `parts`, without repetition."""
    found = (inner.citation.strip() for part in parts for inner in walk(part))
    return list(dict.fromkeys(entry for entry in found if entry))


# -- plain JSON and arrays ------------------------------------------------------------------------------


def describe(value: Any, path: str = "", *, opaque: bool = False) -> tuple[Any, dict[str, np.ndarray]]:
    """`value` as JSON plus named arrays; a part becomes `{"part": class, field: ...}`.

    Arrays become `{"array": name}` where the name is their path of fields. What has no such form (a function) raises
    `JourneymanError` with its path, or becomes `{"opaque": type}` with `opaque`: for a record, not to build it again.
    """
    arrays: dict[str, np.ndarray] = {}

    def visit(item: Any, at: str) -> Any:
        if isinstance(item, AbstractPart):
            inner = {name: visit(getattr(item, name), f"{at}.{name}" if at else name) for name in _written(item)}
            return {"part": type(item).__name__, **inner}
        if eqx.is_array(item) or isinstance(item, np.ndarray):
            if at in arrays:
                raise JourneymanError(f"Two arrays would be called '{at}' on disk; rename the keys that are alike.")
            arrays[at] = np.asarray(item)
            return {"array": at}
        if isinstance(item, Mapping):
            return {"map": {str(k): visit(v, f"{at}.{k}") for k, v in item.items()}}
        if isinstance(item, (tuple, list)):
            return [visit(v, f"{at}.{i}") for i, v in enumerate(item)]
        if isinstance(item, float) and not math.isfinite(item):
            return {"float": str(item)}
        if item is None or isinstance(item, (bool, int, float, str)):
            return item
        if opaque:
            return {"opaque": type(item).__name__}
        raise JourneymanError(
            f"'{at or 'value'}' is a {type(item).__name__}, which has no form on disk; build it from the library's"
            " parts, or pass it again in Python when you resume."
        )

    return visit(value, path), arrays


def rebuild(tree: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """The inverse of `describe`. Only classes of this library (or imported by you) are ever built.

    Raises `JourneymanError` for an unknown class, a missing or an unknown field, or a missing array.
    """
    if isinstance(tree, list):
        return tuple(rebuild(item, arrays) for item in tree)
    if not isinstance(tree, dict):
        return tree
    if "part" in tree:
        return _part(tree, arrays)
    if "array" in tree:
        if tree["array"] not in arrays:
            raise JourneymanError(f"The array '{tree['array']}' is missing; the file is incomplete, so write it again.")
        return jax.numpy.asarray(arrays[tree["array"]])
    if "map" in tree:
        return {key: rebuild(item, arrays) for key, item in tree["map"].items()}
    if "float" in tree:
        return float(tree["float"])
    if "opaque" in tree:
        raise JourneymanError(
            f"A {tree['opaque']} was part of this and has no form on disk; pass the same object again in Python."
        )
    raise JourneymanError(f"A description names a part; {sorted(tree)} does not, so write the file again.")


def _part(tree: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Any:
    cls, name = _PARTS.get(tree["part"]), tree["part"]
    if cls is None:
        raise JourneymanError(
            f"No part is called '{name}'.{did_you_mean(name, _PARTS)} Import the module that defines it first."
        )
    names = {f.name for f in dataclasses.fields(cls)}
    wrong = [f"unknown field '{n}'" for n in sorted(set(tree) - names - {"part"})]
    wrong += [f"missing field '{n}'" for n in sorted(names - set(tree) - set(cls.added))]
    if wrong:
        raise JourneymanError(
            f"{cls.__name__} does not fit its description: {', '.join(wrong)}; it was written by another version,"
            " so write it again with this one."
        )
    built = object.__new__(cls)
    for name in names:
        object.__setattr__(built, name, rebuild(tree[name], arrays) if name in tree else cls.added[name])
    for base in reversed(cls.__mro__):
        if "__check_init__" in vars(base):
            vars(base)["__check_init__"](built)
    return built


def _written(part: AbstractPart) -> list[str]:
    """The fields that a description names, in their order."""
    names = [field.name for field in dataclasses.fields(part)]  # type: ignore[arg-type]
    return [name for name in names if name not in part.added or getattr(part, name) != part.added[name]]


def fingerprint(value: Any) -> str:
    """Sixteen hexadecimal digits that change with any leaf's value, type, shape or place in the tree."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(value):
        array = np.asarray(leaf)
        digest.update(f"{jax.tree_util.keystr(path)}|{array.dtype.str}|{array.shape}|".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)  # as it lies there, without a copy
    return digest.hexdigest()[:16]
