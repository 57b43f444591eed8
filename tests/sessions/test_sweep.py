"""`journeyman improve --seeds`: one command, a policy for each seed, intervals over seeds, and resumable."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from journeyman import JourneymanError, cli, world
from journeyman.collect import Sample, play
from journeyman.datasets import write
from journeyman.policies import policy
from journeyman.sessions._files import load_policy
from journeyman.sessions._page import improve_curves
from journeyman.training import read_metrics

SIZES = ["--num-envs", "4", "--batch", "40", "--steps", "160", "--episodes", "3", "--evaluation-episodes", "2"]
SIZES += ["--evaluate-every", "2", "--checkpoint-every", "2", "--shape.hidden", "4", "--algorithm", "reinforce"]


def test_seeds_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    words = ["improve", "--world", "LinearQuadratic", "--options", "horizon=5", "start_std=1.0", *SIZES]
    assert cli.main([*words, "--seeds", "3", "--seed", "5", "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert "over 3 seeds." in told
    assert sorted(path.name for path in (out / "policies").iterdir()) == ["5", "6", "7"]
    rows = read_metrics(out)
    assert [len(row["evaluation_return"]) for row in rows if "evaluation_return" in row] == [3, 3, 3]
    page = (out / "report.html").read_text()
    assert "95 % interval over seeds" in page
    assert "mean over 3 seeds" in page
    with pytest.raises(JourneymanError, match=r"is a sweep with a policy for each seed; name one .*5'"):
        load_policy(out)
    assert load_policy(out / "policies" / "6").network.weights[0].shape == (1, 4)
    # An end is an end: resuming has nothing to do but the page.
    (out / "report.html").unlink()
    shutil.rmtree(out / "policies")  # as of a run that was killed
    assert cli.main(["report", str(out)]) == 2
    assert "is a run that has not finished, so it holds no policy yet" in capsys.readouterr().err
    assert cli.main(["resume", str(out)]) == 0
    assert (out / "report.html").exists()
    assert read_metrics(out) == rows


@pytest.mark.slow
def test_seeds_that_imitate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = world("LinearQuadratic", horizon=5, start_std=1.0)
    data = play(made, Sample(policy(made, jax.random.key(0), hidden=())), episodes=4, seed=0)
    write(data, tmp_path / "shown.npz")
    sizes = ["gail" if word == "reinforce" else word for word in SIZES]
    words = ["improve", "--world", "LinearQuadratic", "--options", "horizon=5", "start_std=1.0", *sizes, "--seeds", "2"]
    assert cli.main([*words, "--out", str(tmp_path / "without")]) == 2
    assert "GAIL compares with demonstrations, and none are given; add --data FILE." in " ".join(
        capsys.readouterr().err.split()
    )
    out = tmp_path / "run"
    assert cli.main([*words, "--out", str(out), "--data", str(tmp_path / "shown.npz")]) == 0
    assert "Gail on LinearQuadratic, 2 seeds" in (out / "report.html").read_text()
    assert all(len(row["told_apart"]) == 2 for row in read_metrics(out)[1:])


def test_seeds_of_a_host_world_and_of_dagger_are_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["improve", "--world", "gymnasium:CartPole-v1", "--steps", "100", "--seeds", "2", "--algorithm", "dagger"]
    assert cli.main([*words, "--out", str(tmp_path / "x")]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "cannot be mapped over 2 seeds; run the command once for each" in told
    assert "DAgger keeps its data on the host and runs one seed at a time" in told
    assert not (tmp_path / "x").exists()


def test_a_curve_over_seeds_has_its_interval_over_seeds() -> None:
    nan = float("nan")
    values = [[1.0, 2.0, 3.0], [nan, nan, nan], [4.0, nan, 6.0]]
    rows = [{"step": i, "return": v, "return_deviation": v, "finished": [1, 1, 1]} for i, v in enumerate(values)]
    (curve,) = improve_curves("improved", json.loads(json.dumps(rows)), "command", evaluation_episodes=20)
    np.testing.assert_allclose(curve.y.middle, [2.0, nan, 5.0])
    assert curve.y.low[0] < 2.0 < curve.y.high[0]
    assert np.isnan(curve.y.low[1])
    assert "over seeds" in curve.interval


def test_a_curve_over_episodes_has_the_standard_errors_of_as_many_as_were_played() -> None:
    rows: list[dict[str, float]] = [
        {"step": 0, "evaluation_return": 1.0, "evaluation_deviation": 2.0},
        {"step": 1, "evaluation_return": 3.0, "evaluation_deviation": 4.0},
        {"step": 2, "return": 5.0, "return_deviation": 6.0, "finished": 10},
        {"step": 3, "return": 7.0, "return_deviation": 0.0, "finished": 1},
    ]
    mean_action, sampled = improve_curves("improved", rows, "command", evaluation_episodes=5)
    # A deviation that divides by n makes an error of deviation / √(n − 1).
    np.testing.assert_allclose(mean_action.y.high, [1 + 1.96 * 2 / 2, 3 + 1.96 * 4 / 2])
    np.testing.assert_allclose(sampled.y.low, [5 - 1.96 * 6 / 3, np.nan])
    alone, _ = improve_curves("improved", rows, "command", evaluation_episodes=1)
    assert (len(alone.y.low), len(alone.y.high)) == (0, 0), "one episode has no band"
