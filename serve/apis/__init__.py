"""Protocols that others' clients speak, over the engine that answers `/v1/predict`."""
