"""A reference laboratory for the Coherent Gradients hypothesis.

The wings, in the order of the data: `cgpipe.data` (datasets and label noise), `cgpipe.learning`
(networks, training, winsorized updates), `cgpipe.gradients` (per-example gradients and what they
contribute), `cgpipe.inference` (null worlds) and `cgpipe.figures`. They take and return arrays,
tensors and Datasets, so each function can be called from a notebook. `cgpipe.pipeline` and
`cgpipe.pipeline.stages` are the shell that the workflow calls: files, settings, logs.

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
