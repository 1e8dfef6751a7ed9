from .dense import Layer, forward, initial_layers, losses, output_gradients

__all__ = ["Layer", "forward", "initial_layers", "losses", "output_gradients"]
