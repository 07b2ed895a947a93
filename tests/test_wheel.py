"""The wheel carries the weights: installed elsewhere, it samples from any directory."""

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SAMPLE = """
import torch, scorevid
from scorevid.sampling import ascend
from scorevid.worlds.leaves.world import Leaves
assert scorevid.__file__.startswith({prefix!r}), scorevid.__file__
f = scorevid.load_denoiser("leaves-32")
c, _ = Leaves().draw(1, torch.Generator().manual_seed(0))
drawn = ascend(f, c, sigma_0=2.0, beta=1.0, centre="prediction", generator=torch.Generator().manual_seed(1))
assert drawn.x.shape == (1, 1, 32, 32) and drawn.x.isfinite().all()
print("sampled", drawn.steps.item())
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_the_package_and_its_weights_only(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert "scorevid/denoisers/weights/leaves-32.safetensors" in names
    assert "scorevid/denoisers/weights/leaves-32.json" in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"scorevid"}


def test_installed_into_an_empty_environment_it_samples_from_any_directory(wheel, tmp_path):
    """Its dependencies are lent by this environment through a .pth file, so that nothing large is fetched again."""
    home = tmp_path / "env"
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    site = Path(
        subprocess.run(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
    )
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    lent = Path(sysconfig.get_path("purelib"))
    (site / "lent.pth").write_text(f"{lent}\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = subprocess.run(
        [python, "-E", "-c", SAMPLE.format(prefix=str(site))], cwd=elsewhere, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("sampled")
