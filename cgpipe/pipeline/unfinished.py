"""What lies in the folder of a run until its job has succeeded: names that plan and training share."""

CHECKPOINTS = ".checkpoint-*"  # folders
STATE = "state.safetensors"  # in one: what the training goes on from
DIVERGED = "diverged"  # in one: a mark that the run has diverged
