"""Other formats and libraries: weights from and to safetensors; graphs as ONNX, as modules of torch, for JAX."""
