"""Where networks run."""

import os
from typing import Literal

import torch

Device = Literal["auto", "cpu", "cuda"]


def choose(device: Device) -> torch.device:
    """The device to run on, set up so that a run on it can be repeated bit by bit."""
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise ValueError(
            "device: cuda, but torch finds no GPU here. Use auto or cpu, or give the job a GPU "
            f"(torch {torch.__version__})"
        )
    if device == "cpu" or not available:
        return torch.device("cpu")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    return torch.device("cuda")
