"""Other formats and libraries: weights from and to safetensors, graphs as modules of torch."""
