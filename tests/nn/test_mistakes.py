"""What a layer does not take: the message names the layer, the argument, what was expected and what came."""

from __future__ import annotations

import numpy as np
import pytest

import graphnet as gn
from graphnet import nn
from graphnet.errors import ArgumentError, DataError, DtypeError, GraphnetError, ShapeError

BAD_ARGUMENTS = [
    (lambda: nn.Conv2d(3, 4, 3, groups=2), "Conv2d: in_channels=3 must be divisible by groups=2"),
    (lambda: nn.Conv2d(4, 3, 3, groups=2), "Conv2d: out_channels=3 must be divisible by groups=2"),
    (lambda: nn.Conv2d(3, 4, 0), "Conv2d: kernel_size must be an integer >= 1, or 2 of them, got 0"),
    (lambda: nn.Conv2d(3, 4, (3, 3, 3)), "kernel_size must be an integer >= 1, or 2 of them"),
    (lambda: nn.Conv2d(3, 4, 3, padding="full"), "padding must be 'same', 'valid' or numbers"),
    (
        lambda: nn.Conv2d(3, 4, 3, padding_mode="edge"),
        "padding_mode must be one of zeros, reflect, replicate, circular",
    ),
    (lambda: nn.Conv2d(3, 4, 3, dtype="int64"), "dtype must be float32 or float64"),
    (lambda: nn.Conv2d(3, 4, 3, bias=None), "Conv2d: bias must be True or False, got None"),
    (lambda: nn.Conv2d(3, 4, 3, stride=2, padding="same"), "Conv2d: padding='same' needs stride 1, got stride=2"),
    (lambda: nn.Conv1d(3, 4, 3, stride=(1, 2)), r"Conv1d: stride must be an integer >= 1, got \(1, 2\)"),
    (lambda: nn.ConvTranspose2d(3, 4, 3, output_padding=1), "output_padding must be below the stride or the dilation"),
    (lambda: nn.ConvTranspose2d(3, 4, 3, padding_mode="reflect"), "padding_mode='reflect' is not supported"),
    (lambda: nn.ConvTranspose2d(3, 4, 3, groups=3), "ConvTranspose2d: out_channels=4 must be divisible by groups=3"),
    (lambda: nn.Linear(0, 4), "Linear: in_features must be a positive integer, got 0"),
    (lambda: nn.Linear(4, 2.0), "Linear: out_features must be a positive integer, got 2.0"),
    (lambda: nn.Linear(4, 2, "float64"), "Linear: bias must be True or False, got 'float64'"),
    (lambda: nn.Bilinear(4, -1, 3), "Bilinear: in2_features must be a positive integer, got -1"),
    (lambda: nn.Embedding(3, 4, padding_idx=3), r"Embedding: padding_idx must be in \[-3, 3\), got 3"),
    (lambda: nn.Embedding(3, 4, padding_idx=1.0), "Embedding: padding_idx must be an integer, got 1.0"),
    (lambda: nn.Embedding(3, 4, max_norm=1.0), "Embedding: max_norm=1.0 is not supported"),
    (lambda: nn.Embedding(3, 4, norm_type=1.0), "Embedding: norm_type=1.0 is not supported"),
    (lambda: nn.Embedding(3, 4, sparse=True), "Embedding: sparse=True is not supported"),
    (lambda: nn.Embedding(3, 4, scale_grad_by_freq=True), "Embedding: scale_grad_by_freq=True is not supported"),
    (lambda: nn.Embedding.from_pretrained(np.zeros((2, 3), int)), "Embedding: expected a table of floats"),
    (lambda: nn.MaxPool2d(2, return_indices=True), "MaxPool2d: return_indices=True is not supported"),
    (lambda: nn.MaxPool2d(3, padding=2), "MaxPool2d: padding=2 must be at most half of the kernel's span"),
    (lambda: nn.MaxPool1d(3, ceil_mode=2), "MaxPool1d: ceil_mode must be True or False, got 2"),
    (lambda: nn.MaxPool1d((3, 3)), r"MaxPool1d: kernel_size must be an integer >= 1, got \(3, 3\)"),
    (lambda: nn.AvgPool1d(2, stride=0), "AvgPool1d: stride must be an integer >= 1, got 0"),
    (lambda: nn.AvgPool2d(2, divisor_override=0), "AvgPool2d: divisor_override must not be 0"),
    (lambda: nn.LPPool2d(0, 2), "LPPool2d: norm_type must be positive, got 0"),
    (lambda: nn.AdaptiveAvgPool2d((1, 2, 3)), r"AdaptiveAvgPool2d: output_size must be .* got \(1, 2, 3\)"),
    (lambda: nn.AdaptiveAvgPool1d(0), "AdaptiveAvgPool1d: output_size must be an integer >= 1 or None, got 0"),
    (lambda: nn.AdaptiveMaxPool2d(2, True), "AdaptiveMaxPool2d: return_indices=True is not supported"),
    (lambda: nn.BatchNorm1d(3, momentum=1.5), r"BatchNorm1d: momentum must be a number or None, in \[0, 1\], got 1.5"),
    (lambda: nn.BatchNorm2d(3, eps=-1), "BatchNorm2d: eps must be a finite number >= 0, got -1"),
    (lambda: nn.InstanceNorm2d(0), "InstanceNorm2d: num_features must be a positive integer, got 0"),
    (lambda: nn.InstanceNorm1d(3, affine="yes"), "InstanceNorm1d: affine must be True or False, got 'yes'"),
    (lambda: nn.LayerNorm(()), r"LayerNorm: normalized_shape must be a positive integer, or some of them, got \(\)"),
    (lambda: nn.LayerNorm("4"), "LayerNorm: normalized_shape must be a positive integer, or some of them, got '4'"),
    (lambda: nn.RMSNorm(4, eps=float("nan")), "RMSNorm: eps must be a finite number >= 0, got nan"),
    (lambda: nn.GroupNorm(4, 6), "GroupNorm: num_channels=6 must be divisible by num_groups=4"),
    (lambda: nn.ReLU(inplace=True), "ReLU: inplace=True is not supported; leave it at False"),
    (lambda: nn.LeakyReLU("steep"), "LeakyReLU: negative_slope must be a finite number, got 'steep'"),
    (lambda: nn.PReLU(0), "PReLU: num_parameters must be a positive integer, got 0"),
    (lambda: nn.RReLU(0.5, 0.1), "RReLU: lower=0.5 must not be above upper=0.1"),
    (lambda: nn.CELU(0), "CELU: alpha must not be 0"),
    (lambda: nn.ELU(None), "ELU: alpha must be a finite number, got None"),
    (lambda: nn.Hardtanh(1, -1), "Hardtanh: min_val=1 must be below max_val=-1"),
    (lambda: nn.Hardtanh(min_value=0), "Hardtanh: min_value=0 is not supported"),
    (lambda: nn.Hardshrink(-1), "Hardshrink: lambd must be a finite number >= 0, got -1"),
    (lambda: nn.Softshrink(-0.5), "Softshrink: lambd must be a finite number >= 0, got -0.5"),
    (lambda: nn.Threshold(0, "x"), "Threshold: value must be a finite number, got 'x'"),
    (lambda: nn.Softplus(0), "Softplus: beta must be positive, got 0"),
    (lambda: nn.GELU("fast"), "GELU: approximate must be one of none, tanh, got 'fast'"),
    (lambda: nn.GLU(0.5), "GLU: dim must be an integer, got 0.5"),
    (lambda: nn.Softmax(), "Softmax: dim must be an integer, got None"),
    (lambda: nn.Dropout(1.5), r"Dropout: p must be a probability in \[0, 1\], got 1.5"),
    (lambda: nn.AlphaDropout(True), "AlphaDropout: p must be a probability"),
    (lambda: nn.Dropout2d(inplace=True), "Dropout2d: inplace=True is not supported"),
    (lambda: nn.Flatten("all"), "Flatten: start_dim must be an integer, got 'all'"),
    (lambda: nn.Unflatten(1, 6), "Unflatten: unflattened_size must be a tuple of integers, got 6"),
    (lambda: nn.Unflatten(1, (-1, -1)), r"Unflatten: only one size may be -1, got \(-1, -1\)"),
    (lambda: nn.Unflatten(1, (2, 1.5)), "Unflatten: a size must be an integer >= -1, got 1.5"),
    (lambda: nn.Upsample(), "Upsample: give either size or scale_factor, got size=None and scale_factor=None"),
    (lambda: nn.Upsample(4, 2), "Upsample: give either size or scale_factor"),
    (lambda: nn.Upsample(scale_factor=1.5), "Upsample: scale_factor must be whole numbers >= 1, got 1.5"),
    (lambda: nn.Upsample(scale_factor=2, mode="bilinear"), "Upsample: mode must be one of nearest, got 'bilinear'"),
    (lambda: nn.Upsample(scale_factor=2, align_corners=True), "Upsample: align_corners=True is not supported"),
    (lambda: nn.PixelShuffle(1.5), "PixelShuffle: upscale_factor must be a positive integer, got 1.5"),
    (lambda: nn.PixelUnshuffle(0), "PixelUnshuffle: downscale_factor must be a positive integer, got 0"),
    (lambda: nn.CrossEntropyLoss(reduce=True), "CrossEntropyLoss: reduce=True is not supported"),
    (lambda: nn.CrossEntropyLoss(label_smoothing=2), r"CrossEntropyLoss: label_smoothing must be a number in \[0, 1\]"),
    (lambda: nn.CrossEntropyLoss(ignore_index=None), "CrossEntropyLoss: ignore_index must be an integer, got None"),
    (lambda: nn.CrossEntropyLoss(["a"]), "expected a number or an array of numbers"),
    (lambda: nn.MSELoss(reduction="max"), "MSELoss: reduction must be one of mean, sum, none, got 'max'"),
    (lambda: nn.L1Loss("sum"), "L1Loss: size_average='sum' is not supported; leave it at None"),
    (lambda: nn.KLDivLoss(reduction=None), "KLDivLoss: reduction must be one of mean, sum, none, batchmean, got None"),
    (lambda: nn.HuberLoss(delta=0), "HuberLoss: delta must be positive, got 0"),
    (lambda: nn.SmoothL1Loss(beta=-1), "SmoothL1Loss: beta must be a finite number >= 0, got -1"),
    (lambda: nn.MultiMarginLoss(3), "MultiMarginLoss: p must be 1 or 2, got 3"),
]


@pytest.mark.parametrize(("make", "message"), BAD_ARGUMENTS)
def test_arguments_that_no_layer_takes(make, message):
    with pytest.raises((ArgumentError, DtypeError, ShapeError), match=message):
        make()


def _x(*shape: object, dtype: str = "float32") -> gn.Node:
    return gn.input("x", shape, dtype)


BAD_INPUTS = [
    (lambda: nn.Linear(3, 4)(_x("N", 5)), ShapeError, "linear"),
    (lambda: nn.Bilinear(3, 4, 2)(_x("N", 3), _x("M", 4)), ShapeError, r"Bilinear: expected \(..., 3\) and \(..., 4\)"),
    (lambda: nn.Embedding(3, 4)(_x(2)), DtypeError, "indices must be integers"),
    (lambda: nn.Conv2d(3, 4, 3)(_x("N", 3, 8)), ShapeError, "expected|channels"),
    (lambda: nn.Conv2d(3, 4, 3)(_x("N", 1, 8, 8)), ShapeError, "3 input channels"),
    (lambda: nn.ConvTranspose2d(3, 4, 3)(_x("N", 4, 8, 8)), ShapeError, "takes 3 channels"),
    (lambda: nn.BatchNorm2d(3)(_x("N", 3)), ShapeError, r"BatchNorm2d: expected 4 dimensions, got float32\[N, 3\]"),
    (lambda: nn.BatchNorm1d(3)(_x("N", 4)), ShapeError, r"BatchNorm1d: expected 3 channels, got float32\[N, 4\]"),
    (lambda: nn.InstanceNorm2d(3)(_x("N", 3)), ShapeError, "InstanceNorm2d: expected 3 or 4 dimensions"),
    (lambda: nn.InstanceNorm1d(3)(_x(4, 3, 1)), ShapeError, "needs more than one value"),
    (lambda: nn.LayerNorm(3)(_x("N", 4)), ShapeError, r"layer_norm: normalized_shape \(3,\) does not end the shape"),
    (lambda: nn.RMSNorm(3)(_x("N", 4)), ShapeError, r"rms_norm: normalized_shape \(3,\) does not end the shape"),
    (lambda: nn.RMSNorm(3)(_x("N", 3, dtype="int64")), DtypeError, "rms_norm: expected floats"),
    (lambda: nn.GroupNorm(2, 4)(_x("N", 6)), ShapeError, r"GroupNorm: expected \(N, 4, ...\), got float32\[N, 6\]"),
    (lambda: nn.PReLU(3)(_x("N", 4)), ShapeError, r"PReLU: expected 3 channels on axis 1, got float32\[N, 4\]"),
    (lambda: nn.GLU()(_x("N", 5)), ShapeError, r"GLU: axis 1 must have an even size, got float32\[N, 5\]"),
    (lambda: nn.Softmax2d()(_x("N", 5)), ShapeError, "Softmax2d: expected 3 or 4 dimensions"),
    (lambda: nn.Softmax(2)(_x("N", 5)), ShapeError, "axis 2 is out of range"),
    (lambda: nn.AdaptiveMaxPool2d(2)(_x("N", 3, "H", 8)), ShapeError, "AdaptiveMaxPool2d: height and width must be"),
    (lambda: nn.MaxPool1d(2)(_x(3)), ShapeError, r"expected the input to have 3 dimensions"),
    (lambda: nn.MaxPool2d(9)(_x("N", 3, 8, 8)), ShapeError, "max_pool2d"),
    (lambda: nn.Unflatten(1, (2, 2))(_x("N", 5)), ShapeError, "cannot reshape"),
    (lambda: nn.Unflatten(3, (2, 2))(_x("N", 4)), ShapeError, "axis 3 is out of range"),
    (lambda: nn.Upsample(7)(_x("N", 3, 4, 4)), ArgumentError, "must be a whole multiple of the input's"),
    (lambda: nn.Upsample(scale_factor=2)(_x("N", 4)), ShapeError, "Upsample: expected 3 or 4 dimensions"),
    (lambda: nn.Upsample((8, 8))(_x("N", 3, 4)), ShapeError, "is not one number for each spatial axis"),
    (lambda: nn.PixelShuffle(2)(_x("N", 6, 4, 4)), ShapeError, "channels that 4 divides"),
    (lambda: nn.PixelUnshuffle(2)(_x("N", 6, 5, 4)), ShapeError, "of which 2 divides H and W"),
    (lambda: nn.MSELoss()(_x("N", 3), _x("N", 1)), ShapeError, "mse_loss: input and target must have one shape"),
    (lambda: nn.CrossEntropyLoss()(_x("N", 3), _x("N", 1, dtype="int64")), ShapeError, "needs labels of shape"),
    (lambda: nn.CrossEntropyLoss([1.0])(_x(2, 3), _x(2, dtype="int64")), ShapeError, r"weight must have shape \(3,\)"),
    (lambda: nn.NLLLoss()(_x("N", 3), _x("N")), DtypeError, "nll_loss: class labels must be integers"),
    (lambda: nn.BCEWithLogitsLoss(pos_weight=[1.0, 2.0])(_x(4, 3), _x(4, 3)), ShapeError, "pos_weight must broadcast"),
    (lambda: nn.KLDivLoss(reduction="batchmean")(_x(), _x()), ShapeError, "'batchmean' needs a batch"),
    (lambda: nn.Dropout()(_x(3, dtype="int64")), DtypeError, "dropout takes floats"),
    (lambda: nn.ModuleList([nn.ReLU()])(_x(3)), GraphnetError, "ModuleList does not say what it computes"),
]


@pytest.mark.parametrize(("declare", "kind", "message"), BAD_INPUTS)
def test_inputs_that_a_layer_does_not_take(declare, kind, message):
    with pytest.raises(kind, match=message) as caught:
        declare()
    assert "declared at" in str(caught.value) and "test_mistakes.py" in str(caught.value)


@pytest.mark.parametrize("layer", [nn.Sigmoid, nn.Tanh, nn.LogSigmoid, nn.Softsign, nn.Softmax2d])
def test_a_layer_without_arguments_is_given_none(layer):
    with pytest.raises(TypeError, match="argument"):
        layer(3)
    with pytest.raises(TypeError, match="argument"):
        layer(inplace=True)


def test_an_embedding_names_the_index_that_it_has_not():
    x = gn.input("x", (2, 2), "int64")
    look_up = gn.compile([x], nn.Embedding(3, 4)(x))
    with pytest.raises(DataError, match=r"index 3 at position \(1, 0\) is out of range: expected \[0, 3\)"):
        look_up(np.array([[0, 1], [3, 2]]))


def test_numpys_integers_are_integers():
    two, three, four = np.int64(2), np.int32(3), np.int64(4)
    model = nn.Sequential(
        nn.Conv2d(three, four, three, stride=two), nn.BatchNorm2d(four), nn.GroupNorm(two, four), nn.MaxPool2d(two),
        nn.AvgPool2d((two, two), two), nn.PixelShuffle(two), nn.Dropout(np.float32(0.5)), nn.Flatten(np.int64(1)),
        nn.Unflatten(1, (four, -1)), nn.LayerNorm(np.int64(4)), nn.Linear(four, two),
    )  # fmt: skip
    assert model(gn.input("x", ("N", 3, 17, 17))).shape[1:] == (4, 2)
    assert "np." not in repr(model)
