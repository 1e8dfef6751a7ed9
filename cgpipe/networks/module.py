"""temporary"""


class ModuleNetwork:
    pass
