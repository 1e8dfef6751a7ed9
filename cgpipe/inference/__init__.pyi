from .nullworlds import curve_p_value, null_band, null_group_sums, p_value

__all__ = ["curve_p_value", "null_band", "null_group_sums", "p_value"]
