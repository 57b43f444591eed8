"""Training 2N equals N, a SIGKILL and the rest: bit for bit, for data, a pure world and a host world."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from journeyman.algorithms import bc, dagger, natural_gradient, reinforce
from journeyman.collect import Sample, play
from journeyman.experts import PolicyExpert
from journeyman.parts import JourneymanError
from journeyman.policies import policy
from journeyman.training import Learner, fit
from journeyman.training._metrics import read_metrics
from journeyman.training._recorder import Recorder
from journeyman.worlds import LinearQuadratic
from tests.conftest import QUICKLY

SCRIPT = Path(__file__).with_name("resume_jobs.py")
HOST = importlib.util.find_spec("envpool") is not None
NAMES = ["fit", "pure", "dart", "asking", *(["host"] if HOST else [])]


def process(folder: Path, mode: str, *jobs: str) -> subprocess.CompletedProcess:
    # What one process compiles the next may take: all of them are here for their states, not for compiling.
    cache = {
        "JAX_COMPILATION_CACHE_DIR": str(folder.parent / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    own = {"PYTHONPATH": str(SCRIPT.parents[2] / "src"), "JAX_PLATFORMS": "cpu", "XLA_FLAGS": QUICKLY}
    environment = {**os.environ, **cache, **own}
    command = [sys.executable, str(SCRIPT), str(folder), mode, "0", *jobs]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict, dict, dict]:
    """A folder of whole runs and one of resumed runs; the policies of both; the rows that the killed had written."""
    folder = tmp_path_factory.mktemp("resume")
    whole = process(folder / "whole", "whole", *NAMES)
    assert whole.returncode == 0, whole.stderr
    before = {}
    for name in NAMES:
        killed = process(folder / "killed", "killed", name)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        before[name] = read_metrics(folder / "killed" / name, clock=False)
        checkpoints = sorted(int(path.name) for path in (folder / "killed" / name / "checkpoints").iterdir())
        assert checkpoints == [2, 4], "it died between two checkpoints"
        assert not (folder / "killed" / name / "policy").exists()
    resumed = process(folder / "killed", "resumed", *NAMES)
    assert resumed.returncode == 0, resumed.stderr
    return folder, json.loads(whole.stdout), json.loads(resumed.stdout), before


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if HOST or name in NAMES else pytest.mark.skip(reason="needs EnvPool"))
        for name in ("fit", "pure", "dart", "asking", "host")
    ],
)
def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(
    trained: tuple[Path, dict, dict, dict], name: str
) -> None:
    folder, whole, resumed, before = trained
    assert resumed[name] == whole[name]
    first, second = (read_metrics(folder / kind / name, clock=False) for kind in ("whole", "killed"))
    assert first == second
    assert len(first) > len(before[name]), "the rest was really run"
    # Another process with the same seed had written the same rows, and some beyond its last checkpoint.
    assert before[name] == first[: len(before[name])]
    artefacts = [(folder / kind / name / "policy" / "policy.safetensors").read_bytes() for kind in ("whole", "killed")]
    assert artefacts[0] == artefacts[1]


def test_a_run_is_resumed_with_what_it_was_begun_with(tmp_path: Path) -> None:
    world = LinearQuadratic(0.9, horizon=3, start_std=1.0)
    actor = policy(world, jax.random.key(0), hidden=())
    data, other = (play(world, Sample(actor), episodes=3, seed=seed) for seed in (0, 1))
    options = {"log_every": 1, "checkpoint_every": 1}
    fit(bc(epochs=2, batch_size=4), actor, data, record=Recorder(tmp_path / "run"), **options)
    again = Recorder(tmp_path / "run", resume=True)
    with pytest.raises(JourneymanError, match=r"The dataset does not belong here"):
        fit(bc(epochs=2, batch_size=4), actor, other, record=again, **options)
    with pytest.raises(JourneymanError, match=r"learner.epochs = 2, not 3") as refused:
        fit(bc(0.5, epochs=3, batch_size=4), actor, data, record=again, **options)
    assert "learning_rate = 0.001, not 0.5" in str(refused.value), "every difference at once"
    with pytest.raises(JourneymanError, match="holds a run already and nothing is ever overwritten"):
        fit(bc(epochs=2, batch_size=4), actor, data, record=Recorder(tmp_path / "run"), **options)
    done = fit(bc(epochs=2, batch_size=4), actor, data, record=again, **options)
    assert done.rows == [], "nothing was left to do"


def test_an_array_with_other_values_is_another_part(tmp_path: Path) -> None:
    """An expert that was trained again under the same name labels otherwise."""
    world = LinearQuadratic(0.9, horizon=3, start_std=1.0)
    first, other = (dagger(PolicyExpert(policy(world, jax.random.key(seed), hidden=(4,)))) for seed in (0, 1))

    def begin(learner: Learner, **options: bool) -> None:
        record = Recorder(tmp_path / "run", **options)
        record.begin("improve", {"learner": learner}, seed=0, links={})
        record.close()

    begin(first)
    begin(first, resume=True)
    said = r"'.*run' was begun with other values in learner\.collect\.expert\.policy\.network\.weights\.0, "
    with pytest.raises(JourneymanError, match=said):
        begin(other, resume=True)


def test_what_differs_is_named_as_in_python_and_another_part_by_its_name_alone(tmp_path: Path) -> None:
    """The record's own marks (`map`, `array`) are no names that anybody knows."""

    def begin(learner: Learner, world: LinearQuadratic, **options: bool) -> None:
        record = Recorder(tmp_path / "run", **options)
        record.begin(
            "improve", {"learner": learner, "world": {"options": {"horizon": world.horizon}}}, seed=0, links={}
        )
        record.close()

    many = eqx.tree_at(lambda one: one.step.kl, natural_gradient(), jnp.asarray([0.01, 0.02]))
    begin(many, LinearQuadratic(horizon=5))
    with pytest.raises(JourneymanError) as refused:
        begin(natural_gradient(0.01, iterations=5), LinearQuadratic(horizon=6), resume=True)
    for said in (
        "with learner.geometry.iterations = 10, not 5;",
        "with learner.step.kl = an array, not 0.01;",
        "with world.options.horizon = 5, not 6;",
    ):
        assert said in str(refused.value)
    with pytest.raises(JourneymanError) as refused:
        begin(reinforce(0.01), LinearQuadratic(), resume=True)
    for said in (
        "learner.geometry = Fisher, not Euclidean;",
        "step = KLRadius, not Adam;",
        "horizon = 5, not nothing;",
    ):
        assert said in str(refused.value)
    assert "iterations" not in str(refused.value)
