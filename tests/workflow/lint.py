"""`snakemake --lint` for every config, less the advice that this project does not follow.

Each rule's software is the one locked environment that snakemake itself runs in, so no rule names a
conda environment or container.
"""

import re
import subprocess
import sys
from pathlib import Path

NOT_FOLLOWED = {"Specify a conda environment or container for each rule."}


def main() -> int:
    failed = False
    for config in sorted(Path("config").glob("*.yaml")):
        found = subprocess.run(
            [sys.executable, "-m", "snakemake", "--lint", "--configfile", str(config)],
            capture_output=True,
            text=True,
            check=False,
        )
        text = found.stdout + found.stderr
        advice = re.findall(r"^    \* (.*):$", text, flags=re.MULTILINE)
        open_advice = [title for title in advice if title not in NOT_FOLLOWED]
        if open_advice or not advice:
            print(text)
            failed = True
        else:
            print(f"snakemake --lint, {config}: nothing but {' '.join(NOT_FOLLOWED)!r}")
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
