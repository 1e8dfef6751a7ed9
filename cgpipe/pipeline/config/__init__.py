"""The settings of a workflow: how they are written, what is allowed, and how errors are reported.

- `load` checks settings, `models` says what they are, with a module for each section that depends on others:
  `datasets`, `networks`, `experiments`, `figures`, `claims`, `mystery`.
- `files` and `reading` look at config files as they are written.
- `messages` words the errors, `reference` makes the JSON schema and the table of all keys.
"""
