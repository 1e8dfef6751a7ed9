"""How the per-example gradients of a minibatch become one update."""
