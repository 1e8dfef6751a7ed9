"""The claims of the papers as tests: `claim` says what a claim is, `registry` lists them."""
