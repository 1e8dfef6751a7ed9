"""`python -m cgpipe`, and `python FOLDER/cgpipe`, which runs that folder's package and no other."""

import sys
from pathlib import Path

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from cgpipe.pipeline.errors import end

try:
    from cgpipe.cli import main

    main(prog_name="python -m cgpipe")
except Exception as error:
    end(error)
    raise
except KeyboardInterrupt:
    raise SystemExit(130) from None
