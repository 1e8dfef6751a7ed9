"""The pages about the results: tables written from the published ones, and sentences checked by them."""
