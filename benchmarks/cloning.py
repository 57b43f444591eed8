"""Samples a second of behaviour cloning, beside the `imitation` package on the same data.

    python -m benchmarks.cloning --json

Both: Hopper's sizes (11 → 3), a 32×32 tanh network, batch 256, Adam, whole epochs over the same 100,000 samples,
shuffled anew each epoch. In every round each goes once, and the ratio is taken inside a round. Left out and told apart:
what comes once, which is compiling here and the warm-up epoch there.

`imitation` has pins of its own (an older Gymnasium and numpy), so the first run makes an environment for it in the
user's cache folder; `--without` leaves it out.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np

import journeyman.algorithms as algorithms
from benchmarks._measure import machine, middle, parser, seconds, tell
from benchmarks._opponent import answering, environment
from journeyman.episodes import Episodes
from journeyman.policies import policy
from journeyman.training import fit
from journeyman.worlds import world

# The last release of imitation needs stable-baselines3 2.2 and Gymnasium 0.29, which know numpy 1 alone; sacred,
# which it imports, needs pkg_resources.
REQUIREMENTS = [
    "imitation==1.0.1",
    "torch==2.13.0",
    "numpy<2",
    "setuptools<81",
    "gymnasium[mujoco]==0.29.1",
    "mujoco<3",
]
WORKER = Path(__file__).with_name("_imitation_worker.py")


def measure(*, samples: int, batch_size: int, epochs: int, rounds: int, beside: bool) -> dict[str, Any]:
    """Samples a second of both, medians over `rounds`; `epochs` of ours in each."""
    observation, action = _data(samples)
    ours, once = _cloning(observation, action, batch_size, epochs)
    with _imitation(observation, action, batch_size) if beside else _nobody() as theirs:
        times = [(ours() / epochs, theirs()) for _ in range(rounds)]
    found: dict[str, Any] = {"journeyman": middle([samples / mine for mine, _ in times])}
    if beside:
        found["imitation"] = middle([samples / other for _, other in times])
        found["ratio"] = middle([other / mine for mine, other in times])
        found["ratios"] = [round(other / mine, 1) for mine, other in times]
    sizes = {"samples": samples, "batch_size": batch_size, "network": [32, 32], "rounds": rounds}
    return found | {"first_call_seconds": round(once, 2)} | sizes | {"machine": machine()}


def _data(samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Made-up demonstrations of Hopper's sizes: the speed does not depend on what is learned."""
    draw = np.random.default_rng(0)
    observation = draw.standard_normal((samples, 11), np.float32)
    action = np.tanh(observation @ draw.standard_normal((11, 3), np.float32))
    return observation, action.astype(np.float32)


def _cloning(observation: np.ndarray, action: np.ndarray, batch_size: int, epochs: int) -> tuple[Any, float]:
    """A function that fits for `epochs` passes and gives their seconds, and what its first call took."""
    made = world("Hopper-v5", num_envs=1, seed=0)
    fresh = policy(made, jax.random.key(0), hidden=(32, 32))
    made.close()  # type: ignore[attr-defined]
    one_more = np.concatenate([observation, observation[-1:]])
    demonstrations = Episodes.episode(one_more, action)
    learner = algorithms.bc(epochs=epochs, batch_size=batch_size)

    def clone() -> float:
        row = fit(learner, fresh, demonstrations, log_every=epochs, checkpoint_every=epochs).rows[-1]
        return row["clock"]["seconds"]

    return clone, seconds(clone)[0]


@contextmanager
def _imitation(observation: np.ndarray, action: np.ndarray, batch_size: int) -> Iterator[Any]:
    """A function that lets `imitation` train one epoch and gives its seconds; the warm-up is done."""
    interpreter = environment("imitation-1.0.1", REQUIREMENTS)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data.npz"
        np.savez(data, observation=observation, action=action)
        with answering(interpreter, WORKER, str(data), str(batch_size)) as ask:
            ask()
            yield ask


@contextmanager
def _nobody() -> Iterator[Any]:
    yield lambda: float("nan")


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--samples", type=int, default=100_000, help="demonstrated steps")
    options.add_argument("--batch", type=int, default=256, help="samples in a batch")
    options.add_argument("--epochs", type=int, default=10, help="our epochs in a round; imitation makes one")
    options.add_argument("--rounds", type=int, default=5, help="rounds that count")
    options.add_argument("--without", action="store_true", help="leave imitation out")
    given = options.parse_args(arguments)
    sizes = {"samples": given.samples, "batch_size": given.batch, "epochs": given.epochs, "rounds": given.rounds}
    tell(measure(**sizes, beside=not given.without), given.json)


if __name__ == "__main__":
    main()
