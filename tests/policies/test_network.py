"""A network's derivatives are computed in another order than its answer, and are its derivatives."""

import re
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from journeyman.collect import Sample, rollout, start
from journeyman.experts import LinearRegulator
from journeyman.geometry._solve import solve
from journeyman.parts import matmul
from journeyman.policies import MLP, policy
from journeyman.policies._spectral import spectral_norms
from journeyman.weights import LinearBaseline
from journeyman.worlds import LinearQuadratic

SIZES = (3, 7, 5, 2)
ROWS = jax.random.normal(jax.random.key(1), (11, 3), jnp.float32)


def made(dtype: Any = jnp.float32) -> MLP:
    network = MLP.make(SIZES, jax.random.key(0), last=1.0)
    biases = tuple(jax.random.normal(jax.random.key(i), b.shape) for i, b in enumerate(network.biases))
    return jax.tree.map(lambda leaf: leaf.astype(dtype), eqx.tree_at(lambda n: n.biases, network, biases))


def written_out(network: MLP, rows: Array) -> Array:
    """The equation, with nothing said about its derivatives."""
    *hidden, last = zip(network.weights, network.biases, strict=True)
    for weight, bias in hidden:
        rows = jnp.tanh(matmul(rows, weight) + bias[None])
    return matmul(rows, last[0]) + last[1][None]


def close(one: Any, other: Any) -> None:
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def both(network: MLP, rows: Array, what: Callable[[Callable, MLP, Array], Any]) -> None:
    """`what` of the network, and of the equation."""
    close(what(lambda n, x: n(x), network, rows), what(written_out, network, rows))


def test_the_answer_is_the_equation_to_the_bit() -> None:
    found, wanted = np.asarray(eqx.filter_jit(made())(ROWS)), np.asarray(eqx.filter_jit(written_out)(made(), ROWS))
    exactly = jax.default_backend() == "cpu"  # a GPU chooses how it multiplies, program by program
    np.testing.assert_allclose(found, wanted, rtol=0 if exactly else 1e-5, atol=0 if exactly else 1e-6)


@pytest.mark.usefixtures("x64")
def test_gradients_of_parameters_and_of_features() -> None:
    network, rows = made(jnp.float64), ROWS.astype(jnp.float64)
    both(network, rows, lambda f, n, x: jax.grad(lambda n: jnp.sin(f(n, x)).sum())(n))
    both(network, rows, lambda f, n, x: jax.grad(lambda x: jnp.sin(f(n, x)).sum())(x))
    both(network, rows, lambda f, n, x: jax.grad(lambda n, x: jnp.sin(f(n, x)).sum(), (0, 1))(n, x))
    one = lambda n, x: eqx.tree_at(lambda m: m.weights[1], n, x)  # noqa: E731 - one layer moves, the others stand
    both(network, rows, lambda f, n, x: jax.grad(lambda w: jnp.sin(f(one(n, w), x)).sum())(n.weights[1]))


@pytest.mark.usefixtures("x64")
def test_changes_forwards_and_derivatives_of_derivatives() -> None:
    network, rows = made(jnp.float64), ROWS.astype(jnp.float64)
    both(network, rows, lambda f, n, x: jax.jvp(lambda n: f(n, x), (n,), (n,)))
    both(network, rows, lambda f, n, x: jax.jacfwd(lambda x: f(n, x))(x))
    slope = lambda f, n, x: jax.grad(lambda n: jnp.sin(f(n, x)).sum())(n)  # noqa: E731
    both(network, rows, lambda f, n, x: jax.jvp(lambda n: slope(f, n, x), (n,), (n,)))
    steep = lambda f, n, x: jnp.square(jax.grad(lambda x: jnp.sin(f(n, x)).sum())(x)).sum()  # noqa: E731
    both(network, rows, lambda f, n, x: jax.grad(lambda n: steep(f, n, x))(n))


@pytest.mark.usefixtures("x64")
def test_many_networks_at_once_and_a_single_sample() -> None:
    network, rows = made(jnp.float64), ROWS.astype(jnp.float64)
    many = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), network)
    slope = lambda f, n, x: jax.grad(lambda n: jnp.sin(f(n, x)).sum())(n)  # noqa: E731
    close(
        jax.vmap(lambda n: slope(lambda n, x: n(x), n, rows))(many),
        jax.vmap(lambda n: slope(written_out, n, rows))(many),
    )
    each = jax.vmap(lambda x: jax.grad(lambda n: jnp.sin(n(x)).sum())(network))(rows)
    close(jax.tree.map(lambda leaf: leaf.sum(0), each), slope(written_out, network, rows))
    close(network(rows.reshape(1, 11, 3))[0], network(rows))


def test_what_does_not_move_costs_nothing() -> None:
    """Features that nobody differentiates have no slope of zeros beside them."""
    moved = jax.make_jaxpr(lambda n: jax.jvp(lambda n: n(ROWS), (n,), (n,))[1])(made())
    assert str(moved).count("dot_general") == 3 + 2 * 3 - 1  # the answer, two terms a layer, and none at the first


def test_no_samples_and_nothing_that_moves() -> None:
    assert made()(jnp.zeros((0, 3))).shape == (0, 2)
    assert made()(jnp.zeros((4, 0, 3))).shape == (4, 0, 2)
    still = lambda n: jax.lax.stop_gradient(n)(ROWS).sum() + n.biases[0].sum()  # noqa: E731
    assert float(jnp.abs(jax.grad(still)(made()).weights[0]).max()) == 0


def rounded(function: Callable, *arguments: Any) -> list[str]:
    """The products of a function whose factors a device may round; there is at least one product."""
    found = re.findall(r"dot_general\[(.*?)\]\s", str(jax.make_jaxpr(function)(*arguments)), re.DOTALL)
    assert found
    return [one for one in found if "precision=(Precision.HIGHEST, Precision.HIGHEST)" not in one]


def test_products_keep_every_digit_on_devices_that_would_round_their_factors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")  # where nothing is turned around for a CPU
    network, rows = made(), ROWS
    for function in (MLP.__call__, lambda n, x: jax.grad(lambda n: n(x).sum())(n), lambda n, x: jax.jvp(n, (x,), (x,))):
        assert not rounded(function, network, rows)
    assert rounded(lambda n, x: x @ n.weights[0], network, rows), "it would be noticed"


def test_so_do_those_of_the_linear_world_and_its_expert_a_baseline_a_metric_and_a_bound() -> None:
    world = LinearQuadratic(horizon=4, num_envs=2)
    actor, state = policy(world, jax.random.key(0), hidden=(4,)), world.reset(jax.random.key(0))
    assert not rounded(lambda s: world.step(s, jnp.ones(world.action_space.shape), jax.random.key(1)), state)
    assert not rounded(LinearRegulator.of(world, 0.9).label, world.observe(state)[None], jax.random.key(1))
    assert not rounded(spectral_norms, jnp.ones((2, 3, 4)))
    baseline, episodes = LinearBaseline(), rollout(world, Sample(actor), start(world), jax.random.key(2), 4)[1]
    fitted = baseline.init(actor.encoder, jax.random.key(3))
    assert not rounded(lambda e: baseline.value(fitted, e, e.reward), jax.tree.map(jnp.asarray, episodes))
    assert not rounded(lambda g: solve(lambda v: v, g, jnp.float32(0.1), 3, "conjugate gradients").value, jnp.ones(5))
