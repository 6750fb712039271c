"""The table of layers: every layer, with every setting that torch.nn has, and what it is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphnet import nn


@dataclass(frozen=True, eq=False)
class Row:
    """make: the layer, given `graphnet.nn` or `torch.nn`. inputs: shapes of floats, or integer arrays as they are.

    low, high: floats are uniform in [low, high). random: whether its training mode draws, so that only evaluation can
    be compared. batch: whether axis 0 of the inputs is the batch, which evaluation then declares as "N". rate: the
    learning rate. tolerance: relative; above 1e-9 only where torch itself has rounded a constant to float32.
    """

    name: str
    make: Callable[[Any], Any]
    inputs: tuple[Any, ...]
    low: float = -2.0
    high: float = 2.0
    random: bool = False
    batch: bool = True
    rate: float = 0.1
    tolerance: float = 1e-9

    def __str__(self) -> str:
        return self.name

    def arrays(self) -> list[np.ndarray]:
        rng = np.random.default_rng(len(self.name))
        return [
            rng.uniform(self.low, self.high, given) if isinstance(given, tuple) else np.asarray(given)
            for given in self.inputs
        ]


def array(n: Any, values: Any) -> Any:
    """Factors as each of the two libraries takes them."""
    if n is nn:
        return np.asarray(values, np.float64)
    import torch

    return torch.tensor(values, dtype=torch.float64)


IMAGE, SEQUENCE, ROWS = (4, 6, 9, 8), (4, 6, 11), (7, 6)
LABELS, PIXELS = np.arange(7) * 5 % 6, np.arange(4 * 9 * 8).reshape(4, 9, 8) * 7 % 6
TOKENS = np.array([[0, 3, 4, 3], [2, 1, 3, 0]])
CLASS_WEIGHTS = (0.5, 1.0, 2.0, 1.5, 0.25, 0.7)


def _shaped(name: str, shape: Any, make: Callable[[Any], Any], **more: Any) -> Row:
    return Row(name, make, (shape,), **more)


LINEAR = [
    _shaped("linear", ROWS, lambda n: n.Linear(6, 5)),
    _shaped("linear-no-bias", ROWS, lambda n: n.Linear(6, 5, False)),
    _shaped("linear-3d", SEQUENCE, lambda n: n.Linear(11, 2)),
    _shaped("linear-1d", (6,), lambda n: n.Linear(6, 3), batch=False),
    Row("bilinear", lambda n: n.Bilinear(6, 3, 4), ((7, 6), (7, 3))),
    Row("bilinear-no-bias-3d", lambda n: n.Bilinear(2, 3, 4, bias=False), ((5, 3, 2), (5, 3, 3))),
    Row("bilinear-1d", lambda n: n.Bilinear(2, 3, 4), ((2,), (3,)), batch=False),
    Row("embedding", lambda n: n.Embedding(5, 3), (TOKENS,)),
    Row("embedding-padding", lambda n: n.Embedding(5, 3, padding_idx=3), (TOKENS,)),
    Row("embedding-padding-from-the-end", lambda n: n.Embedding(5, 3, -2), (TOKENS,)),
    Row("embedding-scalar", lambda n: n.Embedding(5, 3, 1), (np.array(2),)),
]

CONVOLUTIONS = [
    _shaped("conv1d", SEQUENCE, lambda n: n.Conv1d(6, 4, 3)),
    _shaped("conv1d-all", SEQUENCE, lambda n: n.Conv1d(6, 4, 3, 2, 1, 2, 2)),
    _shaped("conv1d-tuple", SEQUENCE, lambda n: n.Conv1d(6, 4, (3,), (2,), (1,), bias=False)),
    _shaped("conv1d-same", SEQUENCE, lambda n: n.Conv1d(6, 4, 3, padding="same", padding_mode="circular")),
    _shaped("conv1d-unbatched", SEQUENCE[1:], lambda n: n.Conv1d(6, 4, 3), batch=False),
    _shaped("conv2d", IMAGE, lambda n: n.Conv2d(6, 4, 3)),
    _shaped("conv2d-all", IMAGE, lambda n: n.Conv2d(6, 9, (3, 2), (2, 1), (1, 2), (1, 2), 3, False)),
    _shaped("conv2d-depthwise", IMAGE, lambda n: n.Conv2d(6, 12, 3, padding=1, groups=6)),
    _shaped("conv2d-valid", IMAGE, lambda n: n.Conv2d(6, 4, (1, 3), padding="valid")),
    _shaped("conv2d-same", IMAGE, lambda n: n.Conv2d(6, 4, (2, 3), padding="same", dilation=2)),
    _shaped("conv2d-reflect", IMAGE, lambda n: n.Conv2d(6, 4, 3, padding=1, padding_mode="reflect")),
    _shaped("conv2d-replicate", IMAGE, lambda n: n.Conv2d(6, 4, 3, padding=(2, 1), padding_mode="replicate")),
    _shaped("conv2d-circular", IMAGE, lambda n: n.Conv2d(6, 4, 3, 2, padding=2, padding_mode="circular")),
    _shaped("conv2d-unbatched", IMAGE[1:], lambda n: n.Conv2d(6, 4, 3), batch=False),
    _shaped("conv_transpose2d", IMAGE, lambda n: n.ConvTranspose2d(6, 4, 3)),
    _shaped("conv_transpose2d-all", IMAGE, lambda n: n.ConvTranspose2d(6, 9, (3, 2), 2, 1, (1, 0), 3, False, (1, 2))),
    _shaped("conv_transpose2d-unbatched", IMAGE[1:], lambda n: n.ConvTranspose2d(6, 2, 2, 2), batch=False),
]

POOLS = [
    _shaped("max_pool1d", SEQUENCE, lambda n: n.MaxPool1d(3)),
    _shaped("max_pool1d-all", SEQUENCE, lambda n: n.MaxPool1d(3, 2, 1, 2, ceil_mode=True)),
    _shaped("max_pool1d-unbatched", SEQUENCE[1:], lambda n: n.MaxPool1d(2), batch=False),
    _shaped("max_pool2d", IMAGE, lambda n: n.MaxPool2d(2)),
    _shaped("max_pool2d-all", IMAGE, lambda n: n.MaxPool2d(3, 2, 1, 1, ceil_mode=True)),
    _shaped("max_pool2d-pairs", IMAGE, lambda n: n.MaxPool2d((3, 2), (1, 2), (1, 0), (1, 2))),
    _shaped("max_pool2d-unbatched", IMAGE[1:], lambda n: n.MaxPool2d(2), batch=False),
    _shaped("avg_pool1d", SEQUENCE, lambda n: n.AvgPool1d(2)),
    _shaped("avg_pool1d-all", SEQUENCE, lambda n: n.AvgPool1d(3, 2, 1, True, False)),
    _shaped("avg_pool2d", IMAGE, lambda n: n.AvgPool2d(2)),
    _shaped("avg_pool2d-all", IMAGE, lambda n: n.AvgPool2d((3, 2), 2, 1, count_include_pad=False)),
    _shaped("avg_pool2d-ceil", IMAGE, lambda n: n.AvgPool2d(4, 3, 1, ceil_mode=True)),
    _shaped("avg_pool2d-divisor", IMAGE, lambda n: n.AvgPool2d(3, divisor_override=4)),
    _shaped("avg_pool2d-unbatched", IMAGE[1:], lambda n: n.AvgPool2d(3), batch=False),
    _shaped("lp_pool2d", IMAGE, lambda n: n.LPPool2d(2, 3)),
    _shaped("lp_pool2d-all", IMAGE, lambda n: n.LPPool2d(3, (3, 2), stride=2, ceil_mode=True), low=0.1),
    _shaped("adaptive_avg1d", SEQUENCE, lambda n: n.AdaptiveAvgPool1d(4)),
    _shaped("adaptive_avg1d-unbatched", SEQUENCE[1:], lambda n: n.AdaptiveAvgPool1d(11), batch=False),
    _shaped("adaptive_avg2d", IMAGE, lambda n: n.AdaptiveAvgPool2d(1)),
    _shaped("adaptive_avg2d-pair", IMAGE, lambda n: n.AdaptiveAvgPool2d((4, 3))),
    _shaped("adaptive_avg2d-keep", IMAGE, lambda n: n.AdaptiveAvgPool2d((None, 3))),
    _shaped("adaptive_max2d", IMAGE, lambda n: n.AdaptiveMaxPool2d(1)),
    _shaped("adaptive_max2d-pair", IMAGE, lambda n: n.AdaptiveMaxPool2d((4, 3))),
    _shaped("adaptive_max2d-keep", IMAGE, lambda n: n.AdaptiveMaxPool2d((3, None))),
]

NORMS = [
    _shaped("batch_norm1d", ROWS, lambda n: n.BatchNorm1d(6)),
    _shaped("batch_norm1d-3d", SEQUENCE, lambda n: n.BatchNorm1d(6, 1e-3, 0.3)),
    _shaped("batch_norm1d-cumulative", ROWS, lambda n: n.BatchNorm1d(6, momentum=None)),
    _shaped("batch_norm2d", IMAGE, lambda n: n.BatchNorm2d(6)),
    _shaped("batch_norm2d-no-bias", IMAGE, lambda n: n.BatchNorm2d(6, bias=False)),
    _shaped("batch_norm2d-plain", IMAGE, lambda n: n.BatchNorm2d(6, affine=False)),
    _shaped("batch_norm2d-untracked", IMAGE, lambda n: n.BatchNorm2d(6, track_running_stats=False)),
    _shaped("batch_norm2d-still", IMAGE, lambda n: n.BatchNorm2d(6, momentum=0.0)),
    _shaped("instance_norm1d", SEQUENCE, lambda n: n.InstanceNorm1d(6)),
    _shaped("instance_norm1d-all", SEQUENCE, lambda n: n.InstanceNorm1d(6, 1e-3, 0.3, True, True)),
    _shaped("instance_norm1d-unbatched", SEQUENCE[1:], lambda n: n.InstanceNorm1d(6, affine=True), batch=False),
    _shaped("instance_norm2d", IMAGE, lambda n: n.InstanceNorm2d(6)),
    _shaped("instance_norm2d-affine", IMAGE, lambda n: n.InstanceNorm2d(6, affine=True, bias=False)),
    _shaped("instance_norm2d-tracked", IMAGE, lambda n: n.InstanceNorm2d(6, track_running_stats=True)),
    _shaped("instance_norm2d-no-momentum", IMAGE, lambda n: n.InstanceNorm2d(6, 1e-5, None, True, True)),
    _shaped("instance_norm2d-unbatched", IMAGE[1:], lambda n: n.InstanceNorm2d(6), batch=False),
    _shaped("layer_norm", ROWS, lambda n: n.LayerNorm(6)),
    _shaped("layer_norm-axes", IMAGE, lambda n: n.LayerNorm((6, 9, 8), eps=1e-3)),
    _shaped("layer_norm-list", SEQUENCE, lambda n: n.LayerNorm([6, 11], bias=False)),
    _shaped("layer_norm-plain", SEQUENCE, lambda n: n.LayerNorm(11, elementwise_affine=False)),
    _shaped("rms_norm", ROWS, lambda n: n.RMSNorm(6)),
    _shaped("rms_norm-axes", SEQUENCE, lambda n: n.RMSNorm((6, 11), eps=1e-3)),
    _shaped("rms_norm-plain", SEQUENCE, lambda n: n.RMSNorm(11, elementwise_affine=False)),
    _shaped("group_norm", IMAGE, lambda n: n.GroupNorm(3, 6)),
    _shaped("group_norm-2d", ROWS, lambda n: n.GroupNorm(2, 6, 1e-3)),
    _shaped("group_norm-one", SEQUENCE, lambda n: n.GroupNorm(1, 6, bias=False)),
    _shaped("group_norm-plain", IMAGE, lambda n: n.GroupNorm(6, 6, affine=False)),
]

ACTIVATIONS = [
    *(
        _shaped(name.lower(), IMAGE, lambda n, name=name: getattr(n, name)(), low=-8, high=8)
        for name in (
            "Hardswish",
            "LogSigmoid",
            "Mish",
            "ReLU",
            "ReLU6",
            "SELU",
            "SiLU",
            "Sigmoid",
            "Softmax2d",
            "Softsign",
            "Tanh",
            "Tanhshrink",
        )
    ),
    _shaped("hardsigmoid", IMAGE, lambda n: n.Hardsigmoid(), low=-8, high=8, tolerance=1e-7),
    _shaped("leaky_relu", ROWS, lambda n: n.LeakyReLU()),
    _shaped("leaky_relu-steep", ROWS, lambda n: n.LeakyReLU(1.5)),
    _shaped("prelu", ROWS, lambda n: n.PReLU()),
    _shaped("prelu-channels", IMAGE, lambda n: n.PReLU(6, init=0.1)),
    _shaped("prelu-1d", (6,), lambda n: n.PReLU(), batch=False),
    _shaped("prelu-scalar", (), lambda n: n.PReLU(init=-0.5), batch=False, high=-0.5),
    _shaped("elu", ROWS, lambda n: n.ELU()),
    _shaped("elu-alpha", ROWS, lambda n: n.ELU(0.7)),
    _shaped("celu", ROWS, lambda n: n.CELU()),
    _shaped("celu-alpha", ROWS, lambda n: n.CELU(0.5)),
    _shaped("softplus", ROWS, lambda n: n.Softplus()),
    _shaped("softplus-beta", ROWS, lambda n: n.Softplus(2.0, 1.0)),
    _shaped("gelu", ROWS, lambda n: n.GELU()),
    _shaped("gelu-tanh", ROWS, lambda n: n.GELU("tanh")),
    _shaped("glu", ROWS, lambda n: n.GLU()),
    _shaped("glu-channels", IMAGE, lambda n: n.GLU(1)),
    _shaped("softmax", ROWS, lambda n: n.Softmax(1)),
    _shaped("softmin", ROWS, lambda n: n.Softmin(-1)),
    _shaped("softmax2d-unbatched", IMAGE[1:], lambda n: n.Softmax2d(), batch=False),
    _shaped("log_softmax", SEQUENCE, lambda n: n.LogSoftmax(-1)),
    _shaped("log_softmax-first", SEQUENCE, lambda n: n.LogSoftmax(dim=0)),
    _shaped("hardtanh", ROWS, lambda n: n.Hardtanh()),
    _shaped("hardtanh-bounds", ROWS, lambda n: n.Hardtanh(-0.5, 1.5)),
    _shaped("hardshrink", ROWS, lambda n: n.Hardshrink()),
    _shaped("hardshrink-wide", ROWS, lambda n: n.Hardshrink(1.1)),
    _shaped("softshrink", ROWS, lambda n: n.Softshrink()),
    _shaped("softshrink-none", ROWS, lambda n: n.Softshrink(0)),
    _shaped("threshold", ROWS, lambda n: n.Threshold(0.5, -3.0)),
    _shaped("rrelu", ROWS, lambda n: n.RReLU(), random=True),
    _shaped("rrelu-fixed", ROWS, lambda n: n.RReLU(0.25, 0.25)),
]

ARRANGING = [
    _shaped("identity", ROWS, lambda n: n.Identity(54, unused=0.1)),
    _shaped("flatten", IMAGE, lambda n: n.Flatten()),
    _shaped("flatten-part", IMAGE, lambda n: n.Flatten(2, 3)),
    _shaped("unflatten", ROWS, lambda n: n.Unflatten(1, (2, 3))),
    _shaped("unflatten-rest", IMAGE, lambda n: n.Unflatten(-1, [2, -1])),
    _shaped("upsample", IMAGE, lambda n: n.Upsample(scale_factor=2)),
    _shaped("upsample-pair", IMAGE, lambda n: n.Upsample(scale_factor=(1, 3))),
    _shaped("upsample-size", IMAGE, lambda n: n.Upsample((18, 16), mode="nearest")),
    _shaped("upsample-sequence", SEQUENCE, lambda n: n.Upsample(scale_factor=2)),
    _shaped("pixel_shuffle", (4, 8, 3, 5), lambda n: n.PixelShuffle(2)),
    _shaped("pixel_shuffle-5d", (2, 4, 9, 3, 5), lambda n: n.PixelShuffle(3)),
    _shaped("pixel_unshuffle", (4, 2, 4, 6), lambda n: n.PixelUnshuffle(2)),
    _shaped("dropout", ROWS, lambda n: n.Dropout(0.3), random=True),
    _shaped("dropout-none", ROWS, lambda n: n.Dropout(0.0)),
    _shaped("dropout-all", ROWS, lambda n: n.Dropout(1.0)),
    _shaped("dropout1d", SEQUENCE, lambda n: n.Dropout1d(), random=True),
    _shaped("dropout2d", IMAGE, lambda n: n.Dropout2d(), random=True),
    _shaped("dropout1d-unbatched", SEQUENCE[1:], lambda n: n.Dropout1d(), random=True, batch=False),
    _shaped("alpha_dropout", ROWS, lambda n: n.AlphaDropout(), random=True),
    _shaped("alpha_dropout-all", ROWS, lambda n: n.AlphaDropout(1.0)),
]


def _loss(name: str, make: Callable[[Any], Any], *inputs: Any, **more: Any) -> Row:
    return Row(name, make, inputs, **more)


def _pairs(name: str, low: float = -2.0, high: float = 2.0, rate: float = 0.1, **options: dict[str, Any]) -> list[Row]:
    """A loss of two alike arrays, by each reduction and with each of the options."""
    settings = {"mean": {}, "sum": {"reduction": "sum"}, "none": {"reduction": "none"}, **options}
    return [
        Row(
            f"{name}-{key}",
            lambda n, g=given: getattr(n, name)(**g),
            (ROWS, ROWS),
            low,
            high,
            rate=1e-4 if key == "sum" else rate,
        )
        for key, given in settings.items()
    ]


LOSSES = [
    *_pairs("MSELoss"),
    *_pairs("L1Loss"),
    *_pairs("HuberLoss", delta={"delta": 0.3}),
    *_pairs("SmoothL1Loss", beta={"beta": 2.0}, zero={"beta": 0.0}),
    *_pairs("KLDivLoss", batchmean={"reduction": "batchmean"}, low=0.3, high=0.7, rate=1e-3),
    _loss("kl-log", lambda n: n.KLDivLoss(reduction="sum", log_target=True), ROWS, ROWS, rate=1e-3),
    _loss("ce", lambda n: n.CrossEntropyLoss(), ROWS, LABELS),
    _loss("ce-sum", lambda n: n.CrossEntropyLoss(reduction="sum"), ROWS, LABELS),
    _loss("ce-none", lambda n: n.CrossEntropyLoss(reduction="none", ignore_index=2), IMAGE, PIXELS),
    _loss("ce-smooth", lambda n: n.CrossEntropyLoss(label_smoothing=0.1, ignore_index=5), ROWS, LABELS),
    _loss("ce-weight", lambda n: n.CrossEntropyLoss(array(n, CLASS_WEIGHTS), label_smoothing=0.2), IMAGE, PIXELS),
    _loss("ce-weight-ignore", lambda n: n.CrossEntropyLoss(array(n, CLASS_WEIGHTS), None, 5), IMAGE, PIXELS),
    _loss("ce-probabilities", lambda n: n.CrossEntropyLoss(array(n, CLASS_WEIGHTS)), ROWS, ROWS, low=0.1),
    _loss("ce-one", lambda n: n.CrossEntropyLoss(), (6,), np.array(4), batch=False),
    _loss("nll", lambda n: n.NLLLoss(), ROWS, LABELS),
    _loss("nll-all", lambda n: n.NLLLoss(array(n, CLASS_WEIGHTS), ignore_index=5), IMAGE, PIXELS),
    _loss("nll-sum", lambda n: n.NLLLoss(reduction="sum"), ROWS, LABELS),
    _loss("nll-none", lambda n: n.NLLLoss(reduction="none"), ROWS, LABELS),
    _loss("bce", lambda n: n.BCELoss(), ROWS, ROWS, low=0.3, high=0.7),
    _loss(
        "bce-all",
        lambda n: n.BCELoss(array(n, CLASS_WEIGHTS), reduction="sum"),
        ROWS,
        ROWS,
        low=0.3,
        high=0.7,
        rate=1e-5,
    ),
    _loss("bce-logits", lambda n: n.BCEWithLogitsLoss(), ROWS, ROWS),
    _loss(
        "bce-logits-all",
        lambda n: n.BCEWithLogitsLoss(array(n, CLASS_WEIGHTS), None, None, "none", array(n, CLASS_WEIGHTS)),
        ROWS,
        ROWS,
    ),
    _loss("margin", lambda n: n.MultiMarginLoss(), ROWS, LABELS),
    _loss("margin-square", lambda n: n.MultiMarginLoss(2, 0.7, reduction="sum"), ROWS, LABELS),
    _loss("margin-weight", lambda n: n.MultiMarginLoss(weight=array(n, CLASS_WEIGHTS), reduction="none"), ROWS, LABELS),
]

TABLE = [*LINEAR, *CONVOLUTIONS, *POOLS, *NORMS, *ACTIVATIONS, *ARRANGING, *LOSSES]
