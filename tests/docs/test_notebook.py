"""The notebook of examples/ runs from its first cell to its last, in a kernel of its own, and shows what it says."""

import re

import pytest
from places import ROOT

nbclient = pytest.importorskip("nbclient", reason="executing the notebook needs nbclient and ipykernel")
nbformat = pytest.importorskip("nbformat", reason="executing the notebook needs nbclient and ipykernel")
pytest.importorskip("ipykernel", reason="executing the notebook needs nbclient and ipykernel")

NOTEBOOK = ROOT / "examples" / "first_steps.ipynb"


@pytest.fixture(scope="module")
def outputs():
    """Give everything that the cells put out, in order."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))  # the kernel is another process
        nbclient.NotebookClient(
            notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(NOTEBOOK.parent)}}
        ).execute()
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def test_the_loss_of_the_own_objective_falls(outputs):
    text = "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")
    first, last = map(float, re.search(r"loss (\S+) -> (\S+)", text).groups())
    assert 0 < last < 0.9 * first


def test_alignment_training_and_enhanced_file_are_drawn(outputs):
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 3


def test_the_file_is_small():
    assert NOTEBOOK.stat().st_size < 200_000
