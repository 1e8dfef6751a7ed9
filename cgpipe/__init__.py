"""Experiments behind the Coherent Gradients hypothesis, from raw data to figures and a verdict on each claim.

In the order of the data: `cgpipe.data` (datasets and label noise), `cgpipe.networks` (networks and their
per-example gradients), `cgpipe.learning` (training, winsorized updates, by `cgpipe.kernels`),
`cgpipe.gradients` (what examples contribute to the gradient), `cgpipe.inference` (null worlds and claims) and
`cgpipe.figures`. They take and return arrays, tensors and Datasets, so each function can be called from a
notebook. `cgpipe.pipeline` has what only the workflow needs: files, settings, logs.

Names are loaded when they are first used: importing `cgpipe` imports neither torch nor xarray.
"""

import os
import sys

try:
    import lazy_loader
except ImportError as error:
    # The command line has come no further, and can catch nothing yet.
    if os.path.basename(sys.argv[0]) in ("-m", "cgpipe"):  # noqa: PTH119
        from cgpipe.pipeline.errors import end

        end(error)
    raise

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
