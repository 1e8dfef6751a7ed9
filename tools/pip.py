"""Run pip for the environment of this Python, whatever it is configured to do besides.

Of its configuration, files and variables alike, only what says where packages come from is kept: a mirror, a
proxy, a certificate. What says where they go, or which, would fill another place, or this one with others.
"""

import ast
import os
import subprocess
import sys

KEPT = {
    *("index-url", "extra-index-url", "find-links", "no-index"),
    *("trusted-host", "proxy", "cert", "client-cert", "keyring-provider"),
    *("timeout", "default-timeout", "retries", "cache-dir", "no-cache-dir"),
}
# -I: no PYTHONPATH, no packages of the user's home.
PIP = [sys.executable, "-I", "-m", "pip"]


def main() -> int:
    """Run pip with the arguments of this program; returns its exit status."""
    listed = subprocess.run([*PIP, "config", "list"], stdout=subprocess.PIPE, text=True, check=False)
    if listed.returncode:
        return listed.returncode
    found = [line.partition("=") for line in listed.stdout.splitlines()]
    options = {name: ast.literal_eval(value) for name, _, value in found}
    others = {name: of for name, of in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}
    kept = {
        f"PIP_{key.upper().replace('-', '_')}": options[f"{section}.{key}"]
        for section in ("global", "install", ":env:")  # the later over the earlier, as in pip
        for key in KEPT
        if f"{section}.{key}" in options
    }
    return subprocess.call([*PIP, *sys.argv[1:]], env={**others, **kept, "PIP_CONFIG_FILE": os.devnull})


if __name__ == "__main__":
    raise SystemExit(main())
