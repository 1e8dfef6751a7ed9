from .base import LayerGradients as LayerGradients
from .base import SmallLayerGradients as SmallLayerGradients
from .base import Tile as Tile
from .registry import layer_gradients as layer_gradients
from .registry import register as register
