"""Other formats: weights from and to safetensors."""
