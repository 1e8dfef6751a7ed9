"""What is wrong with raw data."""


class DataError(RuntimeError):
    """Raw data are missing, or not what they should be."""


class DamagedError(DataError):
    """Raw data are there, and not what was published."""
