"""Many runs with networks of one shape, a step of all at once, on a GPU."""
