"""The backbones by name; light to import, so that a spec can be checked without Keras."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Backbone = Literal[
    "small",
    "resnet50",
    "resnet101",
    "efficientnetb0",
    "efficientnetb1",
    "efficientnetb2",
    "efficientnetb3",
    "mobilenetv3small",
    "mobilenetv3large",
    "convnexttiny",
    "convnextsmall",
]
BACKBONES: tuple[str, ...] = get_args(Backbone)
SMALL = "small"
SMALLEST_SIDE = 32  # pixels: below, the deepest of these networks have nothing left to look at


@dataclass(frozen=True)
class Application:
    """A network of `keras.applications`.

    Attributes:
        function: its name there.
        weights: the file in which Keras publishes what it learned from ImageNet, without the head.
        caffe: whether it takes blue, green, red, each less ImageNet's mean; the others scale pixels by themselves.
    """

    function: str
    weights: str
    caffe: bool = False


APPLICATIONS: dict[str, Application] = {
    "resnet50": Application("ResNet50", "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5", caffe=True),
    "resnet101": Application("ResNet101", "resnet101_weights_tf_dim_ordering_tf_kernels_notop.h5", caffe=True),
    "efficientnetb0": Application("EfficientNetB0", "efficientnetb0_notop.h5"),
    "efficientnetb1": Application("EfficientNetB1", "efficientnetb1_notop.h5"),
    "efficientnetb2": Application("EfficientNetB2", "efficientnetb2_notop.h5"),
    "efficientnetb3": Application("EfficientNetB3", "efficientnetb3_notop.h5"),
    "mobilenetv3small": Application("MobileNetV3Small", "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5"),
    "mobilenetv3large": Application("MobileNetV3Large", "weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5"),
    "convnexttiny": Application("ConvNeXtTiny", "convnext_tiny_notop.h5"),
    "convnextsmall": Application("ConvNeXtSmall", "convnext_small_notop.h5"),
}
