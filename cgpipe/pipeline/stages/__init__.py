"""One module a stage: it reads artifacts, calls a function of the layers below, and writes artifacts."""
