"""`python -m cgpipe`."""

from cgpipe.cli import main

main(prog_name="python -m cgpipe")
