"""Planning by derivatives: the iterative linear-quadratic regulator with a line search and bounded actions."""

from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from journeyman.experts._planner import AbstractPlanner, Planned, bounds, middle
from journeyman.parts import JourneymanError
from journeyman.worlds import AbstractPureWorld

_SHORTENINGS = 8
_LEAST_CURVATURE = 1e-6


class _Path(NamedTuple):
    """States before each action, as full states and as vectors of their real numbers, with the actions and the cost."""

    state: PyTree
    x: Array
    u: Array
    cost: Array


class _Model(NamedTuple):
    """Around each step of a path: x′ ≈ A x + B u, and the cost's slope and curvature in (x, u)."""

    a: Array
    b: Array
    slope: tuple[Array, Array]
    curvature: tuple[tuple[Array, Array], tuple[Array, Array]]


class ILQR(AbstractPlanner):
    """The iterative linear-quadratic regulator: expand around the last path, solve that exactly, search along it.

        Q_x = l_x + Aᵀ V_x,  Q_xx = l_xx + Aᵀ V_xx A,  Q_uu = l_uu + Bᵀ V_xx B,  Q_ux = l_ux + Bᵀ V_xx A
        k = −(Q_uu + μI)⁻¹ Q_u,   K = −(Q_uu + μI)⁻¹ Q_ux,   u ← u + αk + K (x_new − x)

    (Li and Todorov 2004; Tassa, Mansard and Todorov 2014.) The dynamics are expanded to first order, the cost to
    second. Of the steps α = 1, ½, … 2⁻⁷ the cheapest is taken if it is cheaper than standing still; else μ grows. On
    a linear-quadratic world one iteration gives the optimum. On others it finds a local one near the plan it begins
    with: the middle of the action box at every step, or what the planner `first` finds, which it then refines.

    A plan costs `horizon` · (8 `iterations` + 1) model steps for the search and `horizon` · `iterations` derivatives
    with respect to n + m numbers, and what `first` costs.

    Deviations: 1. An action at its bound that would leave it is fixed there, others are clipped in the forward pass:
    exact for one action, a heuristic for several. 2. Directions of non-positive curvature in Q_uu are given the
    curvature 1e-6. 3. Whole numbers in the state (a clock) are taken from the path and not differentiated.
    4. Noise is left out of the world that is planned in.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"settable state", "differentiable dynamics"})
    citation: ClassVar[str] = """@inproceedings{tassa2014control,
  title={Control-limited differential dynamic programming},
  author={Tassa, Yuval and Mansard, Nicolas and Todorov, Emo},
  booktitle={International Conference on Robotics and Automation}, pages={1168--1175}, year={2014}}"""

    world: AbstractPureWorld
    horizon: int = eqx.field(static=True, default=30)
    iterations: int = eqx.field(static=True, default=10)
    first: AbstractPlanner | None = None
    discount: float = 1.0

    def __check_init__(self) -> None:
        if self.iterations < 1:
            raise JourneymanError(f"ILQR needs one or more iterations, not {self.iterations}; 10 are usual.")
        if self.first is not None and self.first.horizon != self.horizon:
            raise JourneymanError(
                f"ILQR looks {self.horizon} steps ahead and its first planner {self.first.horizon}; use one horizon."
            )

    def plan(self, state: PyTree, key: Array) -> Planned:
        """The path after `iterations` rounds."""
        with jax.default_matmul_precision("highest"):  # see `journeyman.parts.matmul`
            return self._planned(state, key)

    def _planned(self, state: PyTree, key: Array) -> Planned:
        rest = middle(self.world)
        actions = jnp.broadcast_to(rest, (self.horizon, *rest.shape))
        actions = actions if self.first is None else self.first.plan(state, key).actions
        problem = _Problem(self.world.noiseless(), self.discount)
        path = problem.roll(state, actions)

        def improve(carry: tuple[_Path, Array], _: None) -> tuple[tuple[_Path, Array], Array]:
            path, damping = carry
            gains = problem.backward(path, problem.model(path), damping)
            steps = 0.5 ** jnp.arange(_SHORTENINGS, dtype=jnp.float32)
            tried = jax.vmap(lambda length: problem.forward(state, path, gains, length))(steps)
            best = jax.tree.map(lambda leaf: leaf[jnp.argmin(tried.cost)], tried)
            better = best.cost < path.cost
            path = jax.tree.map(lambda new, old: jnp.where(better, new, old), best, path)
            damping = jnp.where(better, damping / 10, jnp.maximum(10 * damping, 1e-3))
            return (path, jnp.where(damping < 1e-6, 0.0, damping)), path.cost

        (last, _), costs = jax.lax.scan(improve, (path, jnp.zeros((), jnp.float32)), None, length=self.iterations)
        return Planned(last.u, -jnp.concatenate([path.cost[None], costs]))


class _Problem(NamedTuple):
    """A world without noise, as functions of vectors."""

    world: AbstractPureWorld
    discount: float

    def split(self, state: PyTree) -> tuple[Array, Any]:
        """The real numbers of a state as one vector, and how to put them back."""
        real, other = eqx.partition(state, eqx.is_inexact_array)
        x, back = jax.flatten_util.ravel_pytree(real)
        return x, lambda vector: eqx.combine(back(vector), other)

    def move(self, state: PyTree, u: Array) -> tuple[PyTree, Array, Array]:
        """The next state, the cost of the step, and whether it goes on. Nothing is drawn: any key will do."""
        after, outcome = self.world.step(state, u, jax.random.key(0))
        return after, -outcome.reward, ~outcome.terminated

    def roll(self, state: PyTree, actions: Array) -> _Path:
        """The path of the given actions."""
        return self._follow(state, lambda x, t: actions[t], len(actions))

    def forward(self, state: PyTree, path: _Path, gains: tuple[Array, Array], length: Array) -> _Path:
        """The path of u + αk + K(x_new − x), inside the box."""
        k, gain = gains
        low, high = bounds(self.world)
        act = lambda x, t: jnp.clip(path.u[t] + length * k[t] + gain[t] @ (x - path.x[t]), low, high)  # noqa: E731
        return self._follow(state, act, len(path.u))

    def _follow(self, state: PyTree, act: Any, count: int) -> _Path:
        def step(carry: tuple, t: Array) -> tuple:
            state, alive, weight = carry
            x = self.split(state)[0]
            u = act(x, t)
            after, cost, goes_on = self.move(state, u)
            cost = jnp.where(alive, weight * cost, 0.0)
            return (after, alive & goes_on, weight * jnp.float32(self.discount)), (state, x, u, cost)

        start = (state, jnp.ones((), bool), jnp.ones((), jnp.float32))
        _, (states, x, u, cost) = jax.lax.scan(step, start, jnp.arange(count))
        return _Path(states, x, u, cost.sum())

    def model(self, path: _Path) -> _Model:
        """The expansion at each step; what follows a termination costs nothing."""

        def at(state: PyTree, x: Array, u: Array) -> tuple:
            back = self.split(state)[1]
            moved = lambda x, u: self.split(self.move(back(x), u)[0])[0]  # noqa: E731
            cost = lambda x, u: self.move(back(x), u)[1]  # noqa: E731
            a, b = jax.jacfwd(moved, (0, 1))(x, u)
            goes_on = self.move(state, u)[2]
            return a, b, jax.grad(cost, (0, 1))(x, u), jax.hessian(cost, (0, 1))(x, u), goes_on

        a, b, slope, curvature, goes_on = jax.vmap(at)(path.state, path.x, path.u)
        before = jnp.concatenate([jnp.ones(1, bool), jnp.cumprod(goes_on.astype(jnp.int32))[:-1] > 0])
        weight = before.astype(jnp.float32) * jnp.power(
            jnp.float32(self.discount), jnp.arange(len(path.u), dtype=jnp.float32)
        )
        scaled = lambda leaf: leaf * weight.reshape(-1, *(1 for _ in leaf.shape[1:]))  # noqa: E731
        return _Model(a, b, *jax.tree.map(scaled, (slope, curvature)))

    def backward(self, path: _Path, model: _Model, damping: Array) -> tuple[Array, Array]:
        """k and K of every step, the last step first worked out."""
        low, high = bounds(self.world)

        def step(after: tuple[Array, Array], at: tuple[Array, _Model]) -> tuple:
            (v_x, v_xx), (u, m) = after, at
            q_x, q_u = m.slope[0] + m.a.T @ v_x, m.slope[1] + m.b.T @ v_x
            q_xx = m.curvature[0][0] + m.a.T @ v_xx @ m.a
            q_ux = m.curvature[1][0] + m.b.T @ v_xx @ m.a
            q_uu = m.curvature[1][1] + m.b.T @ v_xx @ m.b
            free = ~(((u <= low) & (q_u > 0)) | ((u >= high) & (q_u < 0)))
            k, gain = _newton(q_uu, q_u, q_ux, damping, free)
            v_x = q_x + gain.T @ (q_uu @ k + q_u) + q_ux.T @ k
            v_xx = q_xx + gain.T @ q_uu @ gain + gain.T @ q_ux + q_ux.T @ gain
            return (v_x, (v_xx + v_xx.T) / 2), (k, gain)

        n = path.x.shape[1]
        end = (jnp.zeros(n, jnp.float32), jnp.zeros((n, n), jnp.float32))
        return jax.lax.scan(step, end, (path.u, model), reverse=True)[1]


def _newton(q_uu: Array, q_u: Array, q_ux: Array, damping: Array, free: Array) -> tuple[Array, Array]:
    """−Q_uu⁻¹ Q_u and −Q_uu⁻¹ Q_ux among the free actions; the others stay where they are."""
    both = free[:, None] & free[None, :]
    values, vectors = jnp.linalg.eigh(jnp.where(both, (q_uu + q_uu.T) / 2, jnp.eye(len(q_u), dtype=q_u.dtype)))
    inverse = (vectors / (jnp.maximum(values, _LEAST_CURVATURE) + damping)[None]) @ vectors.T
    inverse = jnp.where(both, inverse, 0.0)
    return -inverse @ q_u, -inverse @ q_ux
