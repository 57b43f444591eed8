"""What users get wrong, typed at the real command line: one sentence, exit code 2, nothing made, nothing lost."""

import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from journeyman import JourneymanError, cli
from journeyman.policies import policy, save
from journeyman.worlds import LinearQuadratic, world

needs_envpool = pytest.mark.skipif(
    importlib.util.find_spec("envpool") is None, reason="needs the extra 'envpool', which is not installed"
)
LINEAR = ("--world", "LinearQuadratic", "--options", "horizon=10")
STEPS = ("--steps", "64", "--batch", "32", "--num-envs", "4", "--episodes", "2")
SMALL = (*STEPS, "--shape.hidden", "4")
REINFORCE = ("--algorithm", "reinforce")

Refused = Callable[..., str]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Refused:
    """Run the command line, demand exit code 2 and no traceback, and give the sentences on stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str | Path) -> str:
        before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
        code = cli.main([str(word) for word in words])
        out, err = capsys.readouterr()
        assert (code, out) == (2, ""), f"{code}, {out}, {err}"
        assert err.startswith("journeyman: ")
        assert "Traceback" not in err
        assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before, "a refusal made or changed something"
        return err.removeprefix("journeyman: ").strip()

    return run


def flat(steps: int = 30, **change: Any) -> dict[str, Any]:
    """Three episodes for the scalar linear-quadratic world."""
    random = np.random.default_rng(0)
    columns = {
        "observation": random.normal(size=(steps, 1)).astype(np.float32),
        "action": random.normal(size=(steps, 1)).astype(np.float32),
        "episode_end": np.asarray([steps // 3, 2 * steps // 3, steps]),
    }
    return columns | change


@pytest.fixture
def data(tmp_path: Path) -> Path:
    np.savez(tmp_path / "demos.npz", **flat())
    return tmp_path / "demos.npz"


@pytest.fixture
def artefact(tmp_path: Path) -> Path:
    save(policy(LinearQuadratic(horizon=10), jax.random.key(0), hidden=(4,)), tmp_path / "policy")
    return tmp_path / "policy"


# -- worlds and packages ----------------------------------------------------------------------------------


def test_unknown_world(refused: Refused, data: Path, artefact: Path) -> None:
    for words in (
        ("improve", "--world", "LinearQuadratik", *SMALL),
        ("fit", "--data", data, "--world", "LinearQuadratik"),
        ("evaluate", artefact, "--world", "LinearQuadratik"),
    ):
        said = refused(*words)
        assert said.startswith("There is no world 'LinearQuadratik'. Did you mean 'LinearQuadratic'?")
        assert "`journeyman worlds` lists" in said


@needs_envpool
def test_unknown_envpool_id(refused: Refused) -> None:
    said = refused("improve", "--world", "Hoper-v5", *SMALL)
    assert said.startswith("There is no world 'Hoper-v5'. Did you mean 'Hopper-v5'?")


def test_time_that_is_not_there_is_refused(refused: Refused) -> None:
    plain = ("--world", "LinearQuadratic", "--options", "horizon=5")
    said = refused("improve", *plain, *SMALL, "--shape.per-step")
    assert "'LinearQuadratic' does not show the step number" in said
    assert "make it as 'timed:LinearQuadratic'" in said
    said = refused("improve", "--world", "timed:LinearQuadratic", *SMALL)
    assert "'LinearQuadratic' has no horizon" in said


def test_unknown_option_of_a_world(refused: Refused) -> None:
    said = refused("improve", "--world", "LinearQuadratic", "--options", "horizon=10", "noize=1", *SMALL)
    assert said.startswith("'LinearQuadratic' has no option 'noize'. Did you mean 'noise'?")


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("horizon", "'horizon' is not of the form NAME=VALUE"),
        ("=3", "'=3' is not of the form NAME=VALUE"),
        ("seed=3", "'seed' is no option of a world but a setting of its own; use --seed"),
        ("num_envs=3", "'num_envs' is no option of a world but a setting of its own; use --num-envs"),
        ("horizon=long", "'horizon' of 'LinearQuadratic' is 'long', but it takes a whole number or None"),
        ("noise=-1", "'noise' is -1.0, but a standard deviation is 0 or more"),
        ("id=3", "'LinearQuadratic' has no option 'id'"),
        ("noise=0", "'LinearQuadratic' has no end, so no episode of it could ever be evaluated"),
    ],
)
def test_options_that_are_none(refused: Refused, option: str, says: str) -> None:
    assert says in refused("improve", "--world", "LinearQuadratic", "--options", option, *SMALL)


def test_the_same_option_twice(refused: Refused) -> None:
    said = refused("improve", "--world", "LinearQuadratic", "--options", "horizon=1", "horizon=2", *SMALL)
    assert said == "The world option 'horizon' is given twice; keep one."


@needs_envpool
def test_unknown_option_of_envpool(refused: Refused) -> None:
    said = refused("improve", "--world", "Pendulum-v1", "--options", "max_episode_step=9", *SMALL)
    assert "has no option 'max_episode_step'. Did you mean 'max_episode_steps'?" in said


def test_missing_simulator(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "envpool", None)
    said = refused("improve", "--world", "envpool:Hopper-v5", *SMALL)
    assert said.endswith('install it with: pip install "journeyman[envpool]"')
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    said = refused("improve", "--world", "gymnasium:Hopper-v5", *SMALL)
    assert said.endswith('install it with: pip install "journeyman[gymnasium]"')


def test_missing_report_is_said_before_the_work(refused: Refused, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "jinja2" else find(name, *a))
    for words in (("fit", "--data", data, *LINEAR), ("improve", *LINEAR, *SMALL)):
        said = refused(*words)
        assert said.startswith("'jinja2' is not installed")
        assert said.endswith('pip install "journeyman[report]"')


# -- data -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        (
            flat(action=np.zeros((31, 1), np.float32)),
            "'action' has 31 rows and 'observation' 30: 1 more actions than observations",
        ),
        (
            flat(observation=np.where(np.arange(30)[:, None] == 17, np.nan, 1.0)),
            "'observation' is nan at episode 1, step 7 (row 17), column 0",
        ),
        (flat(action=np.full((30, 1), "left")), "'action' has dtype <U4, which is not a real number"),
        (flat(action=np.zeros((30, 1), np.complex64)), "'action' has dtype complex64, which is not a real number"),
        (flat(action=np.zeros((30, 2), np.float32)), "'action' has shape (2,) a step and the world 'Linear"),
        (flat(observation=np.zeros((30, 4), np.float32)), "'observation' has shape (4,) a step and the world"),
        (flat(episode_end=np.asarray([10, 5, 30])), "'episode_end' goes from 10 to 5 at episode 1; it must increase"),
    ],
    ids=["T+1 actions", "nan", "text", "complex", "actions of another world", "observations of another", "ends"],
)
def test_data_that_does_not_fit(refused: Refused, tmp_path: Path, columns: dict[str, Any], says: str) -> None:
    np.savez(tmp_path / "demos.npz", **columns)
    assert f"demos.npz: {says}" in refused("fit", "--data", "demos.npz", *LINEAR)


class Planted:
    """Unpickling this makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


def test_objects_are_never_unpickled(refused: Refused, tmp_path: Path) -> None:
    mark = tmp_path / "was unpickled"
    np.savez(tmp_path / "demos.npz", **flat(action=np.asarray([Planted(mark)] * 30, object)))
    said = refused("fit", "--data", "demos.npz", *LINEAR)
    assert "'action' is an array of Python objects, which could run any code when opened" in said
    assert not mark.exists()
    np.load(tmp_path / "demos.npz", allow_pickle=True)["action"]
    assert mark.exists(), "the plant would not have worked, so this test showed nothing"


def test_a_file_that_is_none(refused: Refused, tmp_path: Path, data: Path) -> None:
    assert "There is no file 'demo.npz'. Did you mean 'demos.npz'?" in refused("fit", "--data", "demo.npz", *LINEAR)
    data.write_bytes(data.read_bytes()[:200])
    assert "is not an npz file, or only the beginning of one" in refused("fit", "--data", data, *LINEAR)
    (tmp_path / "text.npz").write_text("observation,action\n")
    assert "is not an npz file" in refused("fit", "--data", "text.npz", *LINEAR)


# -- artefacts --------------------------------------------------------------------------------------------


def edit(path: Path, **change: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | change))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda f: (f / "policy.safetensors").write_bytes((f / "policy.safetensors").read_bytes()[:-8]), "bytes"),
        (lambda f: (f / "policy.json").write_bytes((f / "policy.json").read_bytes()[:-80]), "is not valid JSON"),
        (lambda f: flip(f / "policy.safetensors"), "differs"),
        (lambda f: edit(f / "policy.json", links={"file": "0" * 16}), "was changed after it was written"),
        (lambda f: edit(f / "policy.json", format_version=99), "has format version 99 and this journeyman reads"),
        (lambda f: (f / "policy.safetensors").unlink(), "does not exist"),
        (lambda f: shutil.rmtree(f), "holds no policy"),
    ],
    ids=["truncated arrays", "truncated json", "flipped bit", "changed link", "other version", "half", "none"],
)
def test_artefacts_that_are_broken(refused: Refused, artefact: Path, damage: Any, says: str) -> None:
    damage(artefact)
    assert says in refused("evaluate", "policy", *LINEAR)
    assert says in refused("improve", "--policy", "policy", *LINEAR, *SMALL)


@pytest.mark.parametrize("algorithm", ["natural-gradient", "reinforce"])
def test_a_policy_of_another_world(refused: Refused, artefact: Path, algorithm: str) -> None:
    del artefact
    other = ("--world", "GeometricChain", "--options", "horizon=5")
    improve = ("improve", "--policy", "policy", "--algorithm", algorithm, *other, *SMALL)
    for words in (improve, ("evaluate", "policy", *other)):
        said = refused(*words)
        assert "'GeometricChain' takes one of finitely many actions of shape (), a Gaussian gives shape (1,)" in said


def test_a_policy_that_reads_other_shapes(refused: Refused, artefact: Path) -> None:
    del artefact
    rows = ("--options", "horizon=5", "dynamics=[[1,0],[0,1]]", "control=[[1],[1]]", "state_cost=[[1,0],[0,1]]")
    said = refused("improve", "--policy", "policy", "--world", "LinearQuadratic", *rows, *SMALL)
    assert "shows observations of shapes ((2,),), the policy reads ((1,),)" in said


def test_improve_in_python_refuses_it_too(tmp_path: Path) -> None:
    from journeyman.algorithms import reinforce
    from journeyman.training import Plan, Recorder, improve

    one = policy(LinearQuadratic(horizon=5), jax.random.key(0), hidden=(4,))
    chain = world("GeometricChain", num_envs=2, horizon=5)
    with pytest.raises(JourneymanError, match=r"takes one of finitely many actions of shape \(\)"):
        improve(reinforce(), one, chain, Plan(steps=8, batch=8), record=Recorder(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


# -- numbers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--steps", "0"], "--steps must be a positive number, not 0"),
        (["--num-envs", "0"], "--num-envs must be a positive number, not 0"),
        (["--num-envs", "-3"], "--num-envs must be a positive number, not -3"),
        (["--batch", "3"], "--batch 3 is less than one step for each of --num-envs 4"),
        (["--batch", "0"], "--batch must be a positive number, not 0"),
        (["--episodes", "0"], "--episodes must be a positive number, not 0"),
        (["--evaluation-episodes", "-1"], "--evaluation-episodes must be 0 or more, not -1"),
        (["--checkpoint-every", "0"], "--checkpoint-every must be a positive number, not 0"),
        (["--discount", "0"], "--discount must lie in (0, 1], not 0.0"),
        (["--discount", "1.01"], "--discount must lie in (0, 1], not 1.01"),
        (["--lambda", "2"], "--lambda must lie in [0, 1], not 2.0"),
        ([*REINFORCE, "--learning-rate", "-0.1"], "--learning-rate must be a positive number, not -0.1"),
        ([*REINFORCE, "--learning-rate", "nan"], "--learning-rate must be a positive number, not nan"),
        (["--kl", "inf"], "--kl must be a positive number, not inf"),
        (["--shape.hidden", "8", "0"], "--shape.hidden must be positive widths, not [8, 0]"),
        (["--seed", "-1"], "--seed must be a whole number from 0 to 4294967295, not -1"),
    ],
)
def test_numbers_of_improve(refused: Refused, words: list[str], says: str) -> None:
    said = refused("improve", *LINEAR, *SMALL, *words)
    assert said.startswith(says)
    assert "things are wrong" not in said


def test_a_floor_of_nothing(refused: Refused, artefact: Path) -> None:
    said = refused("improve", *LINEAR, *STEPS, "--policy", artefact, "--minimum-std", "0")
    assert said.startswith("--minimum-std must be a positive number, not 0.0")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--epochs", "0"], "--epochs must be a positive number, not 0"),
        (["--batch-size", "0"], "--batch-size must be a positive number, not 0"),
        (["--episodes", "0"], "--episodes must be a positive number, not 0"),
        (["--learning-rate", "-1"], "--learning-rate must be a positive number, not -1.0"),
        (["--weight-decay", "-1"], "--weight-decay must be 0 or more, and finite, not -1.0"),
        (["--held-out", "-0.1"], "--held-out must lie in [0, 1), not -0.1"),
        (["--held-out", "1"], "--held-out must lie in [0, 1), not 1.0"),
        (["--shape.hidden", "-2"], "--shape.hidden must be positive widths, not [-2]"),
    ],
)
def test_numbers_of_fit(refused: Refused, data: Path, words: list[str], says: str) -> None:
    said = refused("fit", "--data", data, *LINEAR, *words)
    assert said.startswith(says)
    assert "things are wrong" not in said


def test_a_gaussian_for_choices(refused: Refused) -> None:
    said = refused("improve", "--world", "GeometricChain", *SMALL, "--shape.head", "gaussian")
    assert said.startswith("A gaussian policy needs real actions, but 'GeometricChain' has 2 choices")


def test_everything_is_told_at_once(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    np.savez(tmp_path / "demos.npz", **flat(action=np.zeros((31, 1), np.float32)))
    said = refused("fit", "--data", "demos.npz", *LINEAR, "--epochs", "0", "--held-out", "1", "--out", "taken")
    assert said.startswith("5 things are wrong:\n  1. --epochs")
    for word in ("2. --held-out", "3. 'taken' is a file", "4. demos.npz"):
        assert word in said
    said = refused(
        *("improve", "--world", "LinearQadratic", *STEPS, "--steps", "0", "--algorithm", "dagger"),
        *("--policy", "nothing", "--expert", "nobody", "--data", "nowhere.npz", "--out", "taken"),
    )
    assert said.startswith("6 things are wrong:")
    wrong = "--steps,taken,LinearQadratic,'nothing' holds,'nobody' holds,'nowhere.npz'"
    for word in wrong.split(","):
        assert said.count(word) == 1, f"{word} in {said}"


# -- dagger -----------------------------------------------------------------------------------------------


def test_dagger_says_all_that_it_lacks(refused: Refused, artefact: Path, data: Path) -> None:
    dagger = ("improve", *LINEAR, *SMALL, "--algorithm", "dagger")
    assert "and --expert, --data and --policy are not given; add them." in refused(*dagger)
    assert "and --expert is not given; add it." in refused(*dagger, "--policy", artefact, "--data", data)


def test_dagger_with_a_clone_of_other_data(refused: Refused, artefact: Path, data: Path, tmp_path: Path) -> None:
    one = policy(LinearQuadratic(horizon=10), jax.random.key(0), hidden=(4,))
    save(one, tmp_path / "clone", links={"file": "0123456789abcdef"})
    said = refused(
        *("improve", *LINEAR, *STEPS, "--algorithm", "dagger"),
        *("--policy", "clone", "--expert", artefact, "--data", data),
    )
    assert said.startswith("The clone in 'clone' was made from data 0123456789abcdef, but")
    assert "pass the file it was cloned from" in said


def test_an_expert_of_another_world(refused: Refused, artefact: Path, data: Path, tmp_path: Path) -> None:
    save(policy(world("GeometricChain"), jax.random.key(0), hidden=(4,)), tmp_path / "expert")
    said = refused(
        *("improve", *LINEAR, *STEPS, "--algorithm", "dagger"),
        *("--policy", artefact, "--expert", "expert", "--data", data),
    )
    assert said.startswith("The expert does not fit. 'LinearQuadratic' takes real actions of shape (1,)")


# -- folders ----------------------------------------------------------------------------------------------


def test_folders_that_are_not_to_be_written(refused: Refused, tmp_path: Path, data: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("years of work")
    verbs = (("fit", "--data", data, *LINEAR), ("improve", *LINEAR, *SMALL))
    for out, says in (
        ("thesis", "'thesis' is not empty and holds no run ('thesis.tex' lies there)"),
        ("demos.npz", "'demos.npz' is a file, and a run is a folder"),
        ("demos.npz/run", "'demos.npz/run' cannot be made, because"),
    ):
        for verb in verbs:
            assert says in refused(*verb, "--out", out, "--overwrite")
    assert "'thesis' holds something other than a quickstart" in refused("quickstart", "--out", "thesis", "--overwrite")


def test_a_folder_without_permission(refused: Refused, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("the superuser may write everywhere, so there is no folder without permission")
    (tmp_path / "locked").mkdir(mode=0o500)
    assert "may not be written to; choose another folder." in refused("improve", *LINEAR, *SMALL, "--out", "locked/run")


def test_folders_that_are_no_run(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for verb in ("resume", "report"):
        for folder in ("empty", "nowhere"):
            assert refused(verb, folder) == f"'{folder}' is not a run: it has no config.json; give the folder of a run."
    said = refused("evaluate", "empty", *LINEAR)
    assert said.startswith("'empty' holds no policy: there is neither 'policy.json' nor 'policy/policy.json' in it")


@pytest.mark.parametrize(
    "config",
    [{"verb": "fit", "parts": {}, "context": {}}, {"discount": 0.99}, {"context": None}, {"context": {"verb": "fit"}}],
)
def test_a_run_begun_in_python(refused: Refused, tmp_path: Path, config: dict[str, Any]) -> None:
    from journeyman.training import Run

    Run.create(tmp_path / "run", config, tensorboard=False).close()
    for verb in ("resume", "report"):
        assert "was begun in Python" in refused(verb, "run")
        assert "record=Recorder('run', resume=True)" in refused(verb, "run")
    assert "so it does not say in which world; add --world NAME." in refused("evaluate", "run")
    assert "is no run of `journeyman fit`" in refused("diagnose", "clone", "run")
