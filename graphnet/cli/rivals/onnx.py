"""Runtimes that serve ONNX files, each with its settings for the shortest time of one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from graphnet.cli.rivals.work import Task
from graphnet.executable import input_name
from graphnet.extras import extra
from graphnet.interop.onnx import export


class _Runtime:
    """What both share: the exported model, whose weights never change."""

    def __init__(self, task: Task) -> None:
        self._weights = task.graph.model.state_dict()
        self._names = [input_name(node) for node in task.inputs]
        self._load(export(list(task.inputs), list(task.wanted), sizes=task.sizes).SerializeToString(), task)

    def _load(self, model: bytes, task: Task) -> None:
        raise NotImplementedError

    def state(self) -> Mapping[str, np.ndarray]:
        return self._weights


class OnnxRuntime(_Runtime):
    """ONNX Runtime: all its graph optimizations, operators one after another, each by all threads."""

    def _load(self, model: bytes, task: Task) -> None:
        self._runtime = runtime = extra("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = task.work.threads, 1
        options.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
        self._session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def step(self, batch: tuple[np.ndarray, ...]) -> Sequence[np.ndarray]:
        results: list[np.ndarray] = self._session.run(None, dict(zip(self._names, batch, strict=True)))
        return results

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"onnxruntime": self._runtime.__version__, "graph optimization": "all", "execution": "sequential"}


class OpenVino(_Runtime):
    """OpenVINO with its hint for latency, in float32, one stream of all threads; inputs are read where they lie."""

    def _load(self, model: bytes, task: Task) -> None:
        self._openvino = openvino = extra("openvino")
        core = openvino.Core()
        hints = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": task.work.threads,
            "NUM_STREAMS": 1,
        }
        self._request = core.compile_model(core.read_model(model), "CPU", hints).create_infer_request()

    def step(self, batch: tuple[np.ndarray, ...]) -> Sequence[np.ndarray]:
        results = self._request.infer(list(batch), share_inputs=True)
        return [results[position] for position in range(len(results))]

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"openvino": self._openvino.__version__, "hint": "latency", "precision": "f32", "streams": 1}
