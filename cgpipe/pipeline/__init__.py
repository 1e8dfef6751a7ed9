"""What only the workflow needs: settings, plans, fingerprints, artifacts, checkpoints, random streams."""

import os

# HDF5 locks what it opens, which some file systems refuse. Nothing here needs that: files are written under
# names of their own. It asks once, when it is loaded, which is later than this.
os.environ["HDF5_USE_FILE_LOCKING"] = "FALSE"
