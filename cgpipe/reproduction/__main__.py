"""`make reproduction`: results that are there, and the pages about them, to the folders of the pages."""

import sys
from pathlib import Path

from cgpipe.pipeline.errors import end

try:
    from cgpipe.pipeline.progress import start_log
    from cgpipe.reproduction.publish import reproduce

    start_log()
    reproduce(Path.cwd())
except Exception as error:
    end(error)
    raise
except KeyboardInterrupt:
    sys.exit(130)
