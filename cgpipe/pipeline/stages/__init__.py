"""The shell: one module a stage. Reads artifacts, calls a wing, writes artifacts."""
