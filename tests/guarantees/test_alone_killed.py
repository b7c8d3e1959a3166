"""The same moments for a training without Prefect: killed with SIGKILL, then resumed by the id of its run."""

import signal
from pathlib import Path

import pytest

from tests.engine.test_alone import Alone
from tests.guarantees.test_flow_killed import ENDED, MOMENTS

ALL = {
    moment.replace(", ", " ").replace(" ", "-"): planted
    for moment, (planted, _) in (MOMENTS | ENDED).items()
}


@pytest.mark.parametrize("planted", ALL.values(), ids=ALL.keys())
def test_p1_p2_killed_and_resumed_without_prefect(tmp_path: Path, planted: str) -> None:
    alone = Alone(tmp_path)
    code, _, said = alone.run(planted=f"{planted}:SIGKILL")
    assert code == -signal.SIGKILL, said
    left = alone.runs()
    assert len(left) <= 1
    if left and left[0].info.status == "FINISHED":
        assert "end_run" in planted
        code, result, _ = alone.run("--resume", left[0].info.run_id)
        assert (code, "has finished" in result["error"]) == (2, True)
        return
    resume = ["--resume", left[0].info.run_id] if left else []
    code, result, said = alone.run(*resume)
    assert code == 0, said
    (run,) = alone.runs()
    assert (run.info.run_id, run.info.status) == (result["run_id"], "FINISHED")
    assert not left or left[0].info.run_id == run.info.run_id
    (version,) = alone.client.search_model_versions("name='diabetes'")
    champion = alone.client.get_model_version_by_alias("diabetes", "champion")
    assert (str(version.version), str(champion.version), result["promoted"]) == ("1", "1", True)
    models = alone.client.search_logged_models([run.info.experiment_id])
    assert [str(model.status) for model in models if "READY" in str(model.status)] != []
    assert list((tmp_path / ".onerun").glob("runs/*")) == []
