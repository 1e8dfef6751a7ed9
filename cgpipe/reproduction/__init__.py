"""The pages of `docs/reproduction`: tables written from the published ones, and sentences checked by them."""
