from . import data as data
from . import figures as figures
from . import gradients as gradients
from . import inference as inference
from . import kernels as kernels
from . import learning as learning
from . import networks as networks
from .version import __version__ as __version__
