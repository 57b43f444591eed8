"""What a choice leaves unread is refused where it is given, and forgotten where an older run folder holds it."""

import dataclasses
import json
from pathlib import Path
from typing import Any, get_args, get_type_hints

import equinox as eqx
import jax
import pytest

from journeyman._settings import Asking, forgotten
from journeyman.experts import PolicyExpert
from journeyman.policies import policy
from journeyman.sessions import CorrectSettings, ImproveSettings
from journeyman.sessions._files import from_json, to_json
from journeyman.sessions._practise import plan_of
from journeyman.sessions._recipes import practising
from journeyman.worlds import LinearQuadratic
from tests.sessions.conftest import Journeyman, numbers, policy_bytes

ALGORITHMS = get_args(get_type_hints(ImproveSettings)["algorithm"])
NUMBERS: dict[str, Any] = {"kl": 0.3, "learning_rate": 0.3, "epochs": 7, "batch_size": 7, "clip": 0.3, "entropy": 0.3}
NUMBERS |= {"target_kl": 0.3, "discount": 0.3, "lambda_": 0.3}
ASKED: dict[str, Any] = {"schedule": "linear", "beta": 0.3, "rounds": 7, "noise": "none", "std": 0.3, "trace": 0.3}
ASKED |= {"every": 7, "where": "uncertain", "share": 0.3, "above": 0.3, "members": 7, "budget": 7, "refit": True}
ASKED |= {"epochs": 7, "batch_size": 7}
EXPERT = PolicyExpert(policy(LinearQuadratic(), jax.random.key(0), hidden=(3,)))


def settings(algorithm: Any, **more: Any) -> ImproveSettings:
    """Settings without a problem."""
    named: dict[str, Any] = {}
    if algorithm in ("dagger", "dart"):
        named = {"expert": Path("expert"), "data": Path("data"), "policy": Path("clone")}
    elif algorithm in ("gail", "airl", "fairl"):
        named = {"data": Path("data")}
    return ImproveSettings("W", 9000, algorithm=algorithm, **{**named, **more})


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_number_makes_another_learner_or_is_refused_by_name(algorithm: str) -> None:
    usual = settings(algorithm)
    assert usual.problems() == []
    variants = {f"--{name.strip('_').replace('_', '-')}": {name: value} for name, value in NUMBERS.items()}
    variants |= {
        f"--asking.{name.replace('_', '-')}": {"asking": Asking(**{name: value})} for name, value in ASKED.items()
    }
    assert set(ASKED) == {field.name for field in dataclasses.fields(Asking)}, "a new one has to be tried as well"
    for flag, changed in variants.items():
        found = settings(algorithm, **changed)
        refused = [problem for problem in found.problems() if problem.startswith(f"{flag} is ")]
        changes = not eqx.tree_equal(practising(found, EXPERT), practising(usual, EXPERT))
        assert changes == (not refused), (flag, refused)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            settings("ppo", kl=0.1),
            "--kl is 0.1, and only --algorithm natural-gradient, trpo, gail, airl and fairl read it, not ppo; leave it"
            " out, or choose one of those.",
        ),
        (
            settings("natural-gradient", clip=0.1),
            "--clip is 0.1, and only --algorithm ppo reads it, not natural-gradient; leave it out, or choose that.",
        ),
        (settings("gail", expert=Path("E")), "--expert is 'E', and only --algorithm dagger and dart read it, not gail"),
        (settings("trpo", data=Path("D")), "--data is 'D', and only --algorithm dagger, dart, gail, airl and fairl"),
        (settings("dagger", asking=Asking(std=0.1)), "--asking.std is 0.1, and only --algorithm dart reads it"),
        (
            settings("dagger", asking=Asking(rounds=10)),
            "--asking.rounds is 10, and only --asking.schedule linear reads",
        ),
        (settings("dart", asking=Asking(trace=0.1)), "--asking.trace is 0.1, and only --asking.noise random reads it"),
        (settings("dart", minimum_std=0.1), "--minimum-std is 0.1, and only --algorithm natural-gradient, trpo, ppo"),
        (settings("ppo", minimum_std=0.1), "--minimum-std is 0.1, and only a clone that is given with --policy"),
        (
            settings("ppo", policy=Path("P"), shape=dataclasses.replace(ImproveSettings("W", 1).shape, hidden=(8,))),
            "--shape.hidden is 8, and only a fresh policy has a shape to choose, not that of --policy; leave one of",
        ),
    ],
)
def test_what_nothing_reads_is_one_sentence(found: ImproveSettings, said: str) -> None:
    (problem,) = found.problems()
    assert problem.startswith(said)


def test_numbers_in_vain_beside_others_are_told_where_a_run_begins() -> None:
    assert settings("ppo", evaluation_episodes=0, batch_size=4096).vain() == []
    found = settings("ppo", evaluation_episodes=0, evaluate_every=5, batch=130, num_envs=32, batch_size=129)
    assert found.problems() == [], "a run of an earlier version goes on"
    assert found.vain() == [
        "--evaluate-every is 5, and with --evaluation-episodes 0 nothing is evaluated along the way; leave one of them"
        " out.",
        "--batch-size is 129, and a batch has only 128 steps to make minibatches of; lower it, or raise --batch.",
    ]


def test_what_is_in_vain_begins_no_run(tmp_path: Path, journeyman: Journeyman) -> None:
    words = ["improve", "--world", "LinearQuadratic", "--options", "horizon=10", "--algorithm", "ppo", "--steps", "999"]
    code, _, err = journeyman(*words, "--batch-size", 9999, "--out", tmp_path / "run")
    assert code == 2
    assert "--batch-size is 9999, and a batch has only 4096 steps" in err
    assert not (tmp_path / "run").exists()


OLD = {"epochs": 10, "batch_size": 64, "clip": 0.2, "entropy": 0.0, "minimum_std": 0.1}
OLD_ASKING = {"schedule": "constant", "rounds": 10, "noise": "learned", "std": 0.1, "trace": 0.1, "every": 1}
OLD_ASKING |= {"where": "everywhere", "members": 4, "epochs": 20, "batch_size": 256}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_folder_of_an_earlier_version_means_what_it_meant(algorithm: str) -> None:
    now = settings(algorithm, seed=3)
    kept = json.loads(json.dumps(to_json(now)))
    kept |= OLD | {"kl": kept["kl"] or 0.7 if algorithm == "ppo" else kept["kl"]}  # which PPO ignored
    kept["asking"] |= OLD_ASKING
    found = from_json(ImproveSettings, kept)
    found = forgotten(found, found.rules())
    assert found.problems() == []
    assert eqx.tree_equal(practising(found, EXPERT), practising(now, EXPERT))
    assert plan_of(found) == plan_of(now)


def test_a_run_of_an_earlier_version_is_resumed(tmp_path: Path, journeyman: Journeyman) -> None:
    pytest.importorskip("jinja2", reason="needs the extra 'report', which is not installed")
    words = ["improve", "--world", "LinearQuadratic", "--options", "horizon=10", "--algorithm", "reinforce"]
    words += "--steps 400 --batch 100 --num-envs 5 --episodes 2 --evaluation-episodes 0 --shape.hidden 4".split()
    code, _, err = journeyman(*words, "--out", tmp_path / "run")
    assert code == 0, err
    path, before = tmp_path / "run" / "config.json", policy_bytes(tmp_path / "run")
    whole = json.loads(path.read_text())
    whole["config"]["context"]["settings"] |= OLD
    whole["config"]["context"]["settings"]["asking"] |= OLD_ASKING
    path.write_text(json.dumps(whole))
    for verb in ("resume", "report"):
        code, _, err = journeyman(verb, tmp_path / "run")
        assert code == 0, err
    assert policy_bytes(tmp_path / "run") == before
    assert len(numbers(tmp_path / "run")) == 4


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"method": "back-track", "std": 3.0}, "--std is 3.0, and only --method disturbed-action and steered read it"),
        ({"copies": 9}, "--copies is 9, and only --method disturbed-action and steered read it, not back-track"),
        ({"iterations": 3}, "--iterations is 3, and only --method root-finding, disturbed-action and steered read it"),
        ({"dynamics": "true", "members": 9}, "--members is 9, and only --dynamics learned reads it, not true"),
        ({"dynamics": "true", "steepness": 2.0}, "--steepness is 2.0, and only --dynamics learned reads it, not true"),
    ],
)
def test_what_no_label_depends_on(given: dict[str, Any], said: str) -> None:
    (problem,) = CorrectSettings(Path("x"), world="W", **given).problems()
    assert problem.startswith(said)


def test_what_only_clones_depend_on_needs_a_world() -> None:
    given = {"options": ("a=1",), "episodes": 50, "gradient_steps": 4000, "learning_rate": 1e-3, "weight_decay": 0.0}
    found = CorrectSettings(Path("x"), score="best reward", **given).problems()  # type: ignore[arg-type]
    assert len(found) == 6
    assert found[0] == "--options is a=1, and only the clones in a --world read it; leave it out, or add --world."
    assert CorrectSettings(Path("x"), world="W", score="best reward", **given).problems() == []  # type: ignore[arg-type]
