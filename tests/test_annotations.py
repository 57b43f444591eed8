"""The checks of annotations that the tests run under (`conftest.py`): all that is wrong is found, by either checker."""

import jax.numpy as jnp
import jaxtyping
import pytest
from beartype import beartype
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import Array, Float, PyTree

from journeyman.diagnose._by_step import bin_edges
from journeyman.weights._scaling import batch_mean

CHECKED = jaxtyping.jaxtyped(typechecker=beartype)


def plain(count: int, name: str = "") -> str:
    return name * count


def lying(count: int) -> str:
    return count  # type: ignore[return-value]


def product(first: Float[Array, " n"], second: Float[Array, " n"]) -> Float[Array, " n"]:
    return first * second


def shortened(first: Float[Array, " n"]) -> Float[Array, " n"]:
    return first[1:]


def several(first: Float[Array, " n"] | None, second: list[Float[Array, " n"]]) -> None: ...


def trees(first: PyTree[int, "T"], second: PyTree[int, "T"]) -> None: ...


def test_kinds_are_checked_on_the_way_in_and_out():
    assert CHECKED(plain)(2, name="a") == "aa"
    for call in (lambda: CHECKED(plain)("2"), lambda: CHECKED(lying)(1)):
        with pytest.raises(BeartypeCallHintViolation):
            call()


def test_sizes_are_checked_against_each_other():
    two, three = jnp.zeros(2), jnp.zeros(3)
    assert CHECKED(product)(two, two).shape == (2,)
    wrong = [
        lambda: CHECKED(product)(two, three),
        lambda: CHECKED(shortened)(two),
        lambda: CHECKED(several)(two, [three]),
        lambda: CHECKED(trees)([1, 2], [1]),
    ]
    for call in wrong:
        with pytest.raises(jaxtyping.TypeCheckError):
            call()


def test_what_is_defined_anew_at_each_call_is_checked_once():
    def made(checked):
        def inner(count: int) -> int:
            return count

        return checked(inner)

    with pytest.raises(BeartypeCallHintViolation):
        made(CHECKED)("1")
    assert made(CHECKED)("1") == "1"


def test_the_library_is_under_them():
    with pytest.raises(jaxtyping.TypeCheckError):
        batch_mean(jnp.zeros((1, 2)), jnp.zeros((1, 3)))
    with pytest.raises(BeartypeCallHintViolation):
        bin_edges(10, "2")  # type: ignore[arg-type]
