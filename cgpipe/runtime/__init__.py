"""What only the shell uses: settings, fingerprints, artifacts, checkpoints, random streams."""
