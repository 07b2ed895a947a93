"""Parameters of a notebook: what is wrong with them is said before any work is done."""

import math
import types

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from scorevid.companion.parameters import check_parameters

SPECS = {
    "n_scenes": (int, 1, 100),
    "sigma_0": (float, 0.1, 10.0),
    "odds": (list, 0.05, 0.95),
    "weights": (str, "leaves-32", "other"),
    "fast": (bool,),
}
GOOD = {"n_scenes": 8, "sigma_0": 4.0, "odds": [0.1, 0.9], "weights": "leaves-32", "fast": False}


def test_good_parameters_pass_in_silence_beside_imports_and_ipython():
    more = {
        "np": math,
        "PLACES": {},
        "f": lambda: 0,
        "Path": types.SimpleNamespace,
        "_": 3,
        "In": [],
        "Out": {},
        "open": open,
    }
    assert check_parameters(GOOD | more, **SPECS) is None
    check_parameters(GOOD | {"sigma_0": 4}, **SPECS)  # a whole number is a number
    written = GOOD | {"odds": "[0.1, 0.5]"}  # as papermill -p hands a list over
    check_parameters(written, **SPECS)
    assert written["odds"] == [0.1, 0.5]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_scenez": 8}, "unknown parameter n_scenez, did you mean n_scenes"),
        ({"N_SCENES": 8}, "unknown parameter N_SCENES, did you mean n_scenes"),
        ({"zebra": 8}, "unknown parameter zebra.*takes n_scenes, sigma_0"),
        ({"n_scenes": -1}, "n_scenes must be a positive integer, 100 at most, got -1"),
        ({"n_scenes": 8.0}, "n_scenes must be a positive integer.*, got 8.0"),
        ({"n_scenes": 10**400}, "n_scenes must be a positive integer"),
        ({"n_scenes": "8"}, "n_scenes must be a positive integer.*, got '8'"),
        ({"n_scenes": True}, "n_scenes must be a positive integer"),
        ({"sigma_0": float("nan")}, "sigma_0 must be a finite number"),
        ({"sigma_0": 10**400}, "sigma_0 must be a finite number"),
        ({"sigma_0": float("inf")}, "sigma_0 must be a finite number"),
        ({"odds": []}, "odds must be a list"),
        ({"odds": "0.5, 0.9"}, "odds must be a list of numbers, such as"),
        ({"odds": "[0.5, 1.0]"}, "each entry of odds must lie in"),
        ({"odds": 0.5}, "odds must be a list"),
        ({"odds": [0.5, 1.0]}, "each entry of odds must lie in"),
        ({"weights": "leafs"}, "weights must be one of leaves-32, other, got 'leafs'"),
        ({"fast": 1}, "fast must be True or False"),
    ],
)
def test_wrong_parameters_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        check_parameters(GOOD | change, **SPECS)


def test_a_parameter_may_be_called_namespace():
    check_parameters({"namespace": 1}, namespace=(int, 0, 1))


def test_a_check_that_failed_leaves_the_next_one_whole():
    namespace = GOOD | {"n_scenez": 8}
    for _ in range(2):
        with pytest.raises(ValueError, match="n_scenez"):
            check_parameters(namespace, **SPECS)


def test_in_a_kernel_the_cell_passes_and_passes_again_after_results(tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))  # the user's may not be writable
    check = "from scorevid.companion.parameters import check_parameters\ncheck_parameters(globals(), n=(int, 1, 9))"
    cells = ["n: int = 3  # of something", check, "c = [n]", "n = 4", check, "n = 10", check]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    with pytest.raises(CellExecutionError, match="n must be a positive integer, 9 at most, got 10"):
        NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    assert [cell.execution_count for cell in notebook.cells] == [1, 2, 3, 4, 5, 6, 7]  # only the last one failed


def test_a_missing_parameter_is_named():
    with pytest.raises(ValueError, match="sigma_0 is missing"):
        check_parameters({k: v for k, v in GOOD.items() if k != "sigma_0"}, **SPECS)
