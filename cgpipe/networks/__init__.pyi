from .dense import Layer as Layer
from .dense import forward as forward
from .dense import initial_layers as initial_layers
from .dense import losses as losses
from .dense import output_gradients as output_gradients
