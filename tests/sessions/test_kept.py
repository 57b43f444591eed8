"""What a run begins with and what it has made: never destroyed by the next one, and always of one moment."""

import shutil
from pathlib import Path

import jax
import pytest

from journeyman import world
from journeyman.collect import Sample, play
from journeyman.datasets import write
from journeyman.policies import policy, save
from tests.sessions.conftest import Journeyman, numbers, policy_bytes

WORLD = ("--world", "LinearQuadratic", "--options", "horizon=5", "start_std=1.0")
SIZES = "--num-envs 4 --batch 40 --steps 160 --episodes 2 --evaluation-episodes 0 --checkpoint-every 1".split()
IMPROVE = ("improve", *WORLD, *SIZES, "--algorithm", "reinforce")


@pytest.fixture(scope="module")
def began(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `clone`, a policy, and `demos.npz`, its episodes."""
    pytest.importorskip("jinja2", reason="needs the extra 'report', which is not installed")
    folder = tmp_path_factory.mktemp("kept")
    made = world("LinearQuadratic", horizon=5, start_std=1.0)
    clone = policy(made, jax.random.key(0), hidden=(4,))
    save(clone, folder / "clone")
    write(play(made, Sample(clone), episodes=4, seed=0), folder / "demos.npz")
    return folder


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_no_result_replaces_what_it_is_made_from(began: Path, tmp_path: Path, journeyman: Journeyman) -> None:
    run, demos = tmp_path / "run", tmp_path / "demos.npz"
    assert journeyman(*IMPROVE, "--policy", began / "clone", "--out", run)[0] == 0
    demos.write_bytes((began / "demos.npz").read_bytes())
    kept = tmp_path / "labels"
    kept.mkdir()
    (kept / "corrected.npz").write_bytes(demos.read_bytes())
    (run / "tensorboard").mkdir(exist_ok=True)
    (run / "tensorboard" / "demos.npz").write_bytes(demos.read_bytes())
    before = contents(tmp_path)
    asks = ("--algorithm", "dagger", "--policy", began / "clone", "--data", demos, "--expert", run)
    for words, read in (
        ((*IMPROVE, "--policy", run, "--out", run), f"--policy reads '{run}'"),
        (("improve", *WORLD, *SIZES, *asks, "--out", run), f"--expert reads '{run}'"),
        (("fit", *WORLD, "--data", run / "tensorboard" / "demos.npz", "--out", run), "--data reads"),
        (("correct", *WORLD, "--data", kept / "corrected.npz", "--out", kept), "--data reads"),
        (("data", "convert", demos, demos), f"DATA reads '{demos}'"),
        (("dagger", "import", demos, tmp_path / "labels.csv", "--out", demos), f"VISITED reads '{demos}'"),
    ):
        code, _, err = journeyman(*words, "--overwrite")
        assert code == 2
        assert read in err
        assert "which the result would replace; choose another place for the result" in " ".join(err.split())
        assert contents(tmp_path) == before


def test_a_run_goes_on_without_the_folders_that_it_was_begun_from(
    began: Path, tmp_path: Path, journeyman: Journeyman
) -> None:
    run, demos = tmp_path / "run", tmp_path / "demos.npz"
    made = world("LinearQuadratic", horizon=5, start_std=1.0)
    experts = [policy(made, jax.random.key(seed), hidden=(4,)) for seed in (1, 2)]
    shutil.copytree(began / "clone", tmp_path / "clone")
    shutil.copy(began / "demos.npz", demos)
    save(experts[0], tmp_path / "expert")
    words = ("--algorithm", "dagger", "--asking.epochs", "1", "--policy", tmp_path / "clone", "--data", demos)
    code, _, err = journeyman("improve", *WORLD, *SIZES, *words, "--expert", tmp_path / "expert", "--out", run)
    assert code == 0, err
    before, rows = policy_bytes(run), numbers(run)
    shutil.rmtree(max((run / "checkpoints").iterdir()))  # as if it had been killed before the last one
    shutil.rmtree(run / "policy")
    shutil.rmtree(tmp_path / "clone")
    save(experts[1], tmp_path / "expert", overwrite=True)  # not whom it asked
    for verb in ("resume", "report"):
        code, _, err = journeyman(verb, run)
        assert code == 0, err
        assert (policy_bytes(run), numbers(run)) == (before, rows)
    demos.unlink()
    code, _, err = journeyman("resume", run)
    assert code == 2
    assert f"'{demos}'" in err
    assert policy_bytes(run) == before
