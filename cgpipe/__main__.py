"""`cgpipe`, `python -m cgpipe`, and `python FOLDER/cgpipe`, which runs that folder's package and no other."""

import sys
from pathlib import Path

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from cgpipe.pipeline.errors import end


def main() -> None:
    """Run the command line; an error on the way to it is one message, too."""
    try:
        from cgpipe import cli  # noqa: PLC0415

        cli.main()
    except Exception as error:
        end(error)
        raise
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
