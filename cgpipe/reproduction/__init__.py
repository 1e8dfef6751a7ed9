"""The pages of `docs/reproduction`: what the published tables say, checked and written into prose."""
