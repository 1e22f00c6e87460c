"""The one resizing of pictures: a node of the bundle's graph, run by itself where training prepares its pictures.

It is bilinear, with as wide a filter as is needed to lose no line when the picture becomes smaller, and its result is
rounded to uint8 again: what training keeps in memory is, to the last bit, what the network is given by the server. The
sides change independently: a picture is squeezed, not cropped. Pillow's bilinear filter gives the same within 1.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from headrace.artifacts.pictures import Pixels
from headrace.artifacts.raw_inputs import open_graph
from headrace.artifacts.signature import Input
from headrace.trainer.graph import Graph


class Resizer:
    """Resizes pictures as the bundle's graph does. Safe to call from several threads, which then work at the same time.

    Args:
        item: the signature's input.
    """

    def __init__(self, item: Input) -> None:
        self._name = item.name
        self._shape = (item.height, item.width, 3)
        self._session = open_graph(resize_graph(item).SerializeToString(), threads=1)

    def __call__(self, picture: Pixels) -> Pixels:
        """uint8 [h, w, 3] of any size to uint8 [height, width, 3]."""
        if picture.shape == self._shape:
            return picture
        resized: Pixels = self._session.run(None, {self._name: picture[None]})[0][0]
        return resized


def resize_graph(item: Input) -> onnx.ModelProto:
    """The resizing alone: the input's name, uint8 [N, h, w, 3] -> `pixels`, uint8 [N, height, width, 3]."""
    graph = Graph("resize/")
    resized = add_resize(graph, item)
    graph.nodes.append(helper.make_node("Identity", [resized], ["pixels"]))
    shape: list[str | int] = ["N", item.height, item.width, 3]
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, shape)
    return graph.model("resize", [picture_input(item)], [pixels])


def picture_input(item: Input) -> onnx.ValueInfoProto:
    """The input of a graph over pictures."""
    return helper.make_tensor_value_info(item.name, TensorProto.UINT8, ["N", "h", "w", 3])


def add_resize(graph: Graph, item: Input) -> str:
    """Adds the nodes; returns the name of the resized pictures, uint8 [N, height, width, 3]."""
    count = graph.add("Shape", item.name, start=0, end=1)
    sizes = graph.add("Concat", count, graph.constant([item.height, item.width, 3], np.int64), axis=0)
    return graph.add(
        "Resize",
        item.name,
        "",
        "",
        sizes,
        mode="linear",
        antialias=1,
        coordinate_transformation_mode="half_pixel",
        exclude_outside=1,  # at the edge the filter's weights are those of what is inside, as Pillow has it
    )
