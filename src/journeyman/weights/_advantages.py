"""Returns and advantages: one reverse scan that stops at ends."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from journeyman.episodes import Episodes
from journeyman.parts import Number
from journeyman.weights._pieces import episode_starts


def advantages(
    episodes: Episodes, value: Float[Array, "*batch observations"], *, discount: Number, lambda_: Number
) -> Float[Array, "*batch time"]:
    """Generalised advantage estimates (Schulman et al. 2016, equation 16).

        δ_t = r_t + γ (1 − terminated_t) V(o_{t+1}) − V(o_t)
        A_t = δ_t + γ λ (1 − ended_t) A_{t+1}

    λ = 1 gives the reward-to-go minus the baseline; λ = 0 the one-step temporal difference. A truncated step, and
    the last of a stream that stops in the middle of an episode, is followed by V of its true successor; a terminated
    one by 0. `value` is V at every observation, one more than steps. Invalid steps get 0. γᵗ does not weigh the
    states: every step of an episode counts alike.
    """
    time_first = lambda x: jnp.moveaxis(jnp.asarray(x), -1, 0)  # noqa: E731
    now, later = value[..., :-1], value[..., 1:]
    going = 1.0 - jnp.asarray(episodes.terminated, value.dtype)
    delta = jnp.asarray(episodes.reward, value.dtype) + discount * going * later - now

    def backward(after: Array, step: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        delta, ended, valid = step
        advantage = jnp.where(valid, delta + jnp.where(ended, 0.0, discount * lambda_ * after), 0.0)
        return advantage, advantage

    steps = (time_first(delta), time_first(episodes.ended), time_first(episodes.valid))
    _, result = jax.lax.scan(backward, jnp.zeros_like(steps[0][0]), steps, reverse=True)
    return jnp.moveaxis(result, 0, -1)


def full_returns(episodes: Episodes, *, discount: Number) -> Float[Array, "*batch time"]:
    """The discounted return of the whole episode, Σ_k γ^k r_k from its first step, at each of its steps.

    Of an episode that began before the stream or goes on after it, only the recorded rewards are counted. As the weight
    of ∇ log π it includes γᵗ: the states are weighed by their discount.
    """
    to_go = episodes.discounted_returns(discount)
    time_first = lambda x: jnp.moveaxis(jnp.asarray(x), -1, 0)  # noqa: E731
    # The factor that brings a reward-to-go back to the episode's first recorded step is γ^elapsed of that step.
    elapsed = jnp.asarray(episodes.elapsed)
    factor = jnp.power(jnp.asarray(discount, to_go.dtype), elapsed.astype(to_go.dtype))

    def forward(total: Array, step: tuple[Array, Array]) -> tuple[Array, Array]:
        first, whole = step
        total = jnp.where(first, whole, total)
        return total, total

    steps = (time_first(episode_starts(episodes)), time_first(to_go * factor))
    _, result = jax.lax.scan(forward, jnp.zeros_like(steps[1][0]), steps)
    return jnp.moveaxis(result, 0, -1) * jnp.asarray(episodes.valid, to_go.dtype)
