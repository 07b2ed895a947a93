r"""A trained U-Net as an ONNX graph, for runtimes that know nothing of PyTorch, such as one in a web page.

Two graphs can be written. One is the network, :math:`\hat x = f(y, c)`. The other is its backward pass,

.. math:: (y, c, a) \mapsto (J_y^\top a, \; J_c^\top a), \qquad
          J_y = \partial f / \partial y, \quad J_c = \partial f / \partial c .

With a one at pixel i of :math:`a` and zeros elsewhere it is row i of the Jacobian: the local linear weights of that pixel
(:mod:`scorevid.measures.linear_weights`). The network is piecewise linear, so the transpose is exact and has few parts. Each
convolution becomes its transpose. Each ReLU lets pass what it let pass forwards. Interpolation to twice the size is
:math:`(\tfrac14, \tfrac34, \tfrac34, \tfrac14)` along each axis, so its transpose is a convolution of stride 2.

The normalisation is multiplied into the kernels, as the network does itself in evaluation. Batch, height and width are free,
but height and width must be divisible as for the network.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import nn

from scorevid import checks
from scorevid.denoisers.unet import ScaledConv, UNet
from scorevid.files import replace_file

OPSET, IR_VERSION = 17, 8  # of 2022: what older runtimes read as well
TWICE = np.array([1, 1, 2, 2], np.float32)  # along batch, channels, height and width


def export(network: UNet, path: Path | str, *, backward: bool = False, about: dict[str, str] | None = None) -> None:
    """Write the network, or its backward pass, as an ONNX file that computes in single precision.

    Inputs are y (B, 1, H, W) and c (B, M, H, W), the output is x_hat (B, 1, H, W), all in grey levels. The backward pass
    has a third input, at (B, 1, H, W), and the outputs on_y (B, 1, H, W) and on_c (B, M, H, W), without unit. about: words
    that go along in the file, such as name and licence.

    Raises ValueError for other networks, one in training mode and one without a past, ModuleNotFoundError without the
    package onnx, and OSError where the file cannot be written.
    """
    onnx = checks.installed("onnx", "web")
    if not isinstance(network, UNet) or not network.memory:
        raise ValueError(f"the network must be a U-Net with past frames, got {type(network).__name__}")
    checks.evaluation_mode(network)
    graph, channels = _Graph(network), {"y": 1, "c": network.memory}
    if backward:
        graph.backward("at", on_c="on_c", on_y="on_y")
        inputs, outputs = channels | {"at": 1}, {f"on_{name}": n for name, n in channels.items()}
    else:
        graph.forward("x_hat")
        inputs, outputs = channels, {"x_hat": 1}

    def frames(name: str, n: int):
        kind = onnx.TensorProto.FLOAT
        return onnx.helper.make_tensor_value_info(name, kind, ["batch", n, "height", "width"])

    drawn = onnx.helper.make_graph(
        [onnx.helper.make_node(op, takes, gives, **settings) for op, takes, gives, settings in graph.nodes],
        "backward" if backward else "network",
        [frames(*one) for one in inputs.items()],
        [frames(*one) for one in outputs.items()],
        [onnx.numpy_helper.from_array(value, name) for name, value in graph.constants.items()],
    )
    opset = [onnx.helper.make_opsetid("", OPSET)]
    model = onnx.helper.make_model(drawn, opset_imports=opset, ir_version=IR_VERSION, producer_name="scorevid")
    onnx.helper.set_model_props(model, about or {})
    onnx.checker.check_model(model)
    replace_file(Path(path), model.SerializeToString())


class _Graph:
    """Nodes in their order, and constants by name. Methods add nodes, and return the names of what comes out."""

    def __init__(self, network: UNet):
        self.network = network
        self.nodes: list[tuple[str, list[str], list[str], dict]] = []  # operation, inputs, outputs, settings
        self.constants: dict[str, np.ndarray] = {}
        self.passed: dict[str, list[str]] = {}  # by block, what came out of its two ReLUs

    def forward(self, gives: str) -> None:
        """x̂ from y and c."""
        self._add("Conv", self._features(), self._kernel("out", self.network.out), gives=[gives], pads=[1] * 4)

    def backward(self, at: str, on_c: str, on_y: str) -> None:
        """The same way back, from a frame to weights on all frames."""
        self._features()
        net, levels = self.network, range(len(self.network.decoder))
        back: dict[int, str] = {}  # by level, what came back from the decoder to the encoder
        x = self._add("ConvTranspose", at, self._kernel("out", net.out), pads=[1] * 4)
        for level in levels:
            x = self._block_back(f"decoder.{level}", net.decoder[level], x)
            if net.lateral:
                back[level], x = self._split(x, [net.widths[level]] * 2)
            x = self._add(
                "ConvTranspose", self._shrink(x, net.widths[level]), self._kernel(f"up.{level}", net.up[level])
            )
        for level in reversed(range(len(net.encoder))):
            if level in back:
                x = self._add("Add", x, back[level])
            x = self._block_back(f"encoder.{level}", net.encoder[level], x)
            if level:  # each pixel of a mean of four gives a quarter to each
                x = self._add("Mul", self._enlarge(x, "nearest"), self._constant("quarter", np.float32(0.25)))
        self._split(x, [net.memory, 1], gives=[on_c, on_y])

    def _features(self) -> str:
        net, kept = self.network, []
        x = self._add("Concat", "c", "y", axis=1)
        for level, block in enumerate(net.encoder):
            if level:
                x = self._add("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
            x = self._block(f"encoder.{level}", block, x)
            kept.append(x)
        for level in reversed(range(len(net.decoder))):
            x = self._enlarge(self._add("Conv", x, self._kernel(f"up.{level}", net.up[level])), "linear")
            x = self._add("Concat", kept[level], x, axis=1) if net.lateral else x
            x = self._block(f"decoder.{level}", net.decoder[level], x)
        return x

    def _block(self, name: str, block: nn.Sequential, x: str) -> str:
        self.passed[name] = []
        for part in (0, 2):
            x = self._add("Relu", self._add("Conv", x, *self._scaled(f"{name}.{part}", block[part]), pads=[1] * 4))
            self.passed[name].append(x)
        return x

    def _block_back(self, name: str, block: nn.Sequential, x: str) -> str:
        for part, passed in ((2, self.passed[name][1]), (0, self.passed[name][0])):
            open_, (kernel, *_) = self._add("Sign", passed), self._scaled(f"{name}.{part}", block[part])
            x = self._add("ConvTranspose", self._add("Mul", x, open_), kernel, pads=[1] * 4)
        return x

    def _enlarge(self, x: str, mode: str) -> str:
        """Frames of twice the size, as PyTorch has it without aligned corners."""
        how = {"linear": "half_pixel", "nearest": "asymmetric"}[mode]
        scales = self._constant("twice", TWICE)
        return self._add("Resize", x, "", scales, mode=mode, coordinate_transformation_mode=how, nearest_mode="floor")

    def _shrink(self, x: str, channels: int) -> str:
        """The transpose of bilinear enlargement. Beyond the border is what lies on it: interpolation repeats it as well."""
        ends = self._constant("border", np.array([0, 0, 1, 1] * 2, np.int64))
        along = np.array([1, 3, 3, 1], np.float32) / 4
        kernel = np.broadcast_to(np.outer(along, along), (channels, 1, 4, 4)).copy()
        x = self._add("Pad", x, ends, mode="edge")
        return self._add("Conv", x, self._constant(f"shrink.{channels}", kernel), group=channels, strides=[2, 2])

    def _split(self, x: str, channels: list[int], gives: list[str] | None = None) -> list[str]:
        gives = gives or [f"{x}.{k}" for k in range(len(channels))]
        sizes = self._constant(f"sizes.{'.'.join(map(str, channels))}", np.array(channels, np.int64))
        self.nodes.append(("Split", [x, sizes], gives, {"axis": 1}))
        return gives

    def _add(self, operation: str, *takes: str, gives: list[str] | None = None, **settings) -> str:
        gives = gives or [f"{operation}.{len(self.nodes)}"]
        self.nodes.append((operation, list(takes), gives, settings))
        return gives[0]

    def _constant(self, name: str, value: np.ndarray) -> str:
        self.constants[name] = np.asarray(value)
        return name

    def _kernel(self, name: str, conv: nn.Conv2d) -> str:
        return self._constant(f"{name}.weight", conv.weight.detach().float().cpu().contiguous().numpy())

    def _scaled(self, name: str, layer: ScaledConv) -> list[str]:
        """Kernel, and bias if there is one, with the normalisation multiplied into them."""
        kernel, bias = (v if v is None else v.detach().float().cpu() for v in layer.folded())
        found = {"weight": kernel} | ({} if bias is None else {"bias": bias})
        return [self._constant(f"{name}.{k}", v.contiguous().numpy()) for k, v in found.items()]
