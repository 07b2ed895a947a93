"""The network as an ONNX graph: the same function and the same rows of its Jacobian, in another runtime."""

import sys

import onnx
import onnxruntime
import pytest
import torch

from scorevid import load_denoiser
from scorevid.cli import main
from scorevid.denoisers.conditioned import Regression
from scorevid.denoisers.onnx_file import export
from scorevid.denoisers.unet import UNet
from scorevid.denoisers.weights import load_card
from scorevid.measures.linear_weights import rows

PIXELS = [(3, 0), (7, 12)]  # on the border, where interpolation repeats a pixel, and inside


def run(path, **frames):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    found = session.run(None, {name: v.numpy() for name, v in frames.items()})
    return {output.name: torch.from_numpy(v) for output, v in zip(session.get_outputs(), found, strict=True)}


def frames(memory, sigma, batch, height, width):
    generator = torch.Generator().manual_seed(0)
    c = torch.rand(batch, memory, height, width, generator=generator)
    return c[:, -1:] + sigma * torch.randn(batch, 1, height, width, generator=generator), c


def network(**how):
    """A small network whose running variances are not the initial ones."""
    torch.manual_seed(0)
    f = UNet(**how)
    f(torch.rand(4, 1, 16, 16), torch.rand(4, f.memory, 16, 16))
    return f.eval()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """leaves-32 as the command line writes it, forwards and backwards."""
    folder = tmp_path_factory.mktemp("onnx")
    main(["export", "leaves-32", "--out", str(folder / "net.onnx")])
    main(["export", "leaves-32", "--out", str(folder / "back.onnx"), "--backward"])
    return folder


@pytest.mark.parametrize("sigma", [0.02, 0.3, 5.0])
@pytest.mark.parametrize("shape", [(1, 32, 32), (3, 16, 24), (2, 64, 48)])
def test_the_published_network_answers_as_in_pytorch(files, sigma, shape):
    y, c = frames(2, sigma, *shape)
    found = run(files / "net.onnx", y=y, c=c)["x_hat"]
    torch.testing.assert_close(found, load_denoiser("leaves-32")(y, c), rtol=0, atol=1e-5)


@pytest.mark.parametrize("sigma", [0.02, 0.3, 5.0])
def test_its_backward_pass_gives_the_local_linear_weights(files, sigma):
    y, c = frames(2, sigma, 2, 16, 24)
    expected = rows(load_denoiser("leaves-32"), y, c, PIXELS)
    for k, (i, j) in enumerate(PIXELS):
        at = torch.zeros_like(y)
        at[:, :, i, j] = 1
        found = run(files / "back.onnx", y=y, c=c, at=at)
        torch.testing.assert_close(found["on_y"][:, 0], expected.on_y[:, k], rtol=0, atol=1e-5)
        torch.testing.assert_close(found["on_c"], expected.on_c[:, k], rtol=0, atol=1e-5)
    assert expected.on_y.abs().max() > 1e-3


@pytest.mark.parametrize(
    "how",
    [
        {"memory": 1, "widths": (4,)},
        {"memory": 3, "widths": (4, 6, 8, 10)},
        {"memory": 2, "widths": (4, 6), "lateral": False},
        {"memory": 2, "widths": (4, 6), "bias": True},
        {"memory": 2, "widths": (4, 6), "normalise": False},
    ],
    ids=str,
)
def test_networks_of_every_kind(tmp_path, how):
    f, (y, c) = network(**how), frames(how["memory"], 0.3, 2, 16, 24)
    export(f, tmp_path / "net.onnx")
    export(f, tmp_path / "back.onnx", backward=True)
    torch.testing.assert_close(run(tmp_path / "net.onnx", y=y, c=c)["x_hat"], f(y, c), rtol=1e-4, atol=1e-5)
    at = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))  # any frame: Jᵀ a, not rows alone
    _, back = torch.func.vjp(f, y, c)
    on_y, on_c = back(at)
    found = run(tmp_path / "back.onnx", y=y, c=c, at=at)
    torch.testing.assert_close(found["on_y"], on_y, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found["on_c"], on_c, rtol=1e-4, atol=1e-5)


def test_the_file_says_which_weights_it_holds(files):
    about = {p.key: p.value for p in onnx.load(files / "net.onnx").metadata_props}
    card = load_card("leaves-32")
    assert about == {key: card[key] for key in ("name", "licence", "sha256")}


@pytest.mark.parametrize("f", [Regression(2, (4, 8)).eval(), UNet(0, (4,)).eval(), UNet(2, (4,)).train()])
def test_other_networks_are_refused(tmp_path, f):
    with pytest.raises(ValueError, match=r"U-Net|eval"):
        export(f, tmp_path / "net.onnx")
    assert not any(tmp_path.iterdir())


def test_without_onnx_it_is_said_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(SystemExit):
        main(["export", "leaves-32", "--out", str(tmp_path / "net.onnx")])
    assert "pip install 'scorevid[web]'" in capsys.readouterr().err


def test_a_folder_that_is_not_there_is_named(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["export", "leaves-32", "--out", str(tmp_path / "none" / "net.onnx")])
    assert "cannot write" in capsys.readouterr().err
