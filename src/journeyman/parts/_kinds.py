"""Kinds: whether a value is the number, the word or the part that an annotation says."""

import types
import typing
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np

from journeyman._refusals import JourneymanError


class Kind(NamedTuple):
    """What is needed, in words, and whether a value is that."""

    words: str
    admits: Callable[[Any], bool]


def kind_of(annotation: Any) -> Kind | None:
    """The kind that an annotation says, `None` where it says none that could be looked at.

    Whatever has the type of a number is one: NumPy's scalars, a traced value, an array of one for each member of a
    `sweep`. Shapes are not looked at, a list passes for a tuple, and any word for one of a `Literal`.
    """
    origin, inside = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return _any_of([kind_of(each) for each in inside])
    if origin is typing.Literal:
        return _any_of([kind_of(type(each)) for each in inside])
    if origin is tuple and inside[1:] == (...,):
        return _TABLE if typing.get_origin(inside[0]) is tuple else _many(kind_of(inside[0]))
    if origin is not None or not isinstance(annotation, type):
        return None
    if issubclass(annotation, (jaxtyping.AbstractArray, jax.Array, np.ndarray)):
        return _NUMBER if getattr(annotation, "dims", None) == () else _ARRAY
    if issubclass(annotation, eqx.Module):
        return Kind(article(annotation.__name__.removeprefix("Abstract")), lambda value: isinstance(value, annotation))
    return _PLAIN.get(annotation)


def article(noun: str) -> str:
    """`noun` with its indefinite article."""
    return f"{'an' if noun[0] in 'AEIOUaeiou' else 'a'} {noun}"


def _any_of(kinds: list[Kind | None]) -> Kind | None:
    known = list(dict.fromkeys(kind for kind in kinds if kind is not None))
    if None in kinds:
        return None
    said = [kind for kind in known if _NUMBER not in known or kind not in (_WHOLE, _ARRAY)]  # a number is either
    return Kind(" or ".join(kind.words for kind in said), lambda value: any(kind.admits(value) for kind in said))


def _many(kind: Kind | None) -> Kind | None:
    if kind is None:
        return None
    return Kind(
        f"a tuple with {kind.words} in each place",
        lambda value: isinstance(value, (tuple, list)) and all(map(kind.admits, value)),
    )


def _of(value: Any, *kinds: Any) -> bool:
    return hasattr(value, "dtype") and any(jnp.issubdtype(value.dtype, kind) for kind in kinds)


def _number(value: Any) -> bool:
    return _whole(value) or isinstance(value, float) or _of(value, np.floating)


def _whole(value: Any) -> bool:
    return (isinstance(value, int) and not isinstance(value, bool)) or _of(value, np.integer)


_NUMBER, _WHOLE = Kind("a number", _number), Kind("a whole number", _whole)
_ARRAY = Kind("an array", lambda value: hasattr(value, "dtype"))
_TABLE = Kind("a tuple of tuples", lambda value: isinstance(value, (tuple, list)))
_PLAIN = {
    float: _NUMBER,
    int: _WHOLE,
    bool: Kind("a bool", lambda value: isinstance(value, bool) or _of(value, np.bool_)),
    str: Kind("a str", lambda value: isinstance(value, str)),
    types.NoneType: Kind("None", lambda value: value is None),
}


def form(tree: Any) -> str:
    """Shapes and types of the leaves, as in `(float32[1], int32[])`; of many, the first ones."""
    leaves = [
        f"{leaf.dtype}{list(leaf.shape)}" if hasattr(leaf, "dtype") else repr(leaf) for leaf in jax.tree.leaves(tree)
    ]
    if tree is None or not leaves:
        return "nothing"
    return leaves[0] if len(leaves) == 1 else f"({', '.join(leaves[:4])}{', …' if len(leaves) > 4 else ''})"


def shaped(part: Any, what: str, answer: Any, shape: tuple[int, ...], remedy: str) -> Any:
    """`answer`, real numbers of this shape. Raises `JourneymanError` for anything else, which would be broadcast."""
    real = hasattr(answer, "dtype") and jnp.issubdtype(answer.dtype, jnp.floating)
    if real and jnp.shape(answer) == tuple(shape):
        return answer
    raise JourneymanError(
        f"`{what}` of {type(part).__name__} gives {form(answer)} where {jnp.result_type(float)}{list(shape)} is needed;"
        f" {remedy}."
    )
