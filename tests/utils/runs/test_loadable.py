"""Of a stack one model is loaded in full; of another the file, the decision and the scaling are looked at."""

import pytest
import torch

from utils.decides.threshold import Threshold
from utils.model_zoo import describe_preprocessing, save_weights
from utils.models.mlp import MLP
from utils.runs import loadable
from utils.runs.loadable import require_loadable
from utils.views.modes import in_double

DECIDE = Threshold(0.3)


@pytest.fixture
def filed(dataset, tmp_path, monkeypatch):
    """Makes a network by its seed: what ``require_loadable`` is asked about it."""
    monkeypatch.setenv("TRILEMMA_WEIGHTS", str(tmp_path))
    data = dataset("loan")
    node = {"_target_": "utils.models.mlp.MLP", "hidden": [5], "activation": "tanh", "inputs": 7, "outputs": 1}

    def made(seed):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = MLP(7, 1, hidden=[5], activation="tanh")
        record = {
            "name": "loan_mlp_erm",
            "run_id": f"{seed:016x}",
            "status": "finished",
            "params": {"model": node},
            "decide": DECIDE.to_record(),
            "preprocessing": describe_preprocessing(data),
            "weights": save_weights(network, "loan", f"{seed:016x}"),
        }
        rows = data.test.rows(slice(0, 20))
        return record, network, in_double(network)(rows.x), DECIDE, rows

    return made


def test_another_model_of_a_stack_needs_no_network_of_its_own(filed, monkeypatch):
    first, second = filed(0), filed(1)
    require_loadable(*first)
    monkeypatch.setattr(loadable, "assemble", lambda *_: pytest.fail("it was loaded in full"))
    require_loadable(*second, like=first[0])


def test_a_model_of_another_description_is_loaded_in_full(filed):
    """Its record names a network that the file does not fit."""
    first, (record, *others) = filed(0), filed(1)
    wrong = record | {"params": {"model": record["params"]["model"] | {"hidden": [6]}}}
    with pytest.raises(ValueError, match="do not fit its model"):
        require_loadable(wrong, *others, like=first[0])


def test_a_file_that_holds_another_model_is_refused(filed):
    """Whole, and with the checksum that its record states."""
    (first, *_), (record, *others) = filed(0), filed(1)
    with pytest.raises(ValueError, match="its weights are others"):
        require_loadable(record | {"weights": first["weights"]}, *others, like=first)


def test_a_record_that_decides_otherwise_is_refused(filed):
    first, (record, network, logits, _, rows) = filed(0), filed(1)
    between = Threshold(float(logits.sigmoid().median()) + 1e-3)
    with pytest.raises(ValueError, match="its decisions are others"):
        require_loadable(record | {"decide": Threshold(0.0).to_record()}, network, logits, between, rows, like=first[0])


def test_a_scaling_that_no_loader_takes_is_refused(filed):
    first, (record, *others) = filed(0), filed(1)
    scale = [0.0, *record["preprocessing"]["scale"][1:]]
    with pytest.raises(ValueError, match="scaling"):
        require_loadable(record | {"preprocessing": record["preprocessing"] | {"scale": scale}}, *others, like=first[0])
