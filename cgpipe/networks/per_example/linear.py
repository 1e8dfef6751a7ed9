"""temporary"""

import torch

from cgpipe.networks.per_example.base import LayerGradients, Tile, blocks


class LinearGradients(LayerGradients):
    def sums(self):
        return {"weight": self.δ.T @ self.inputs[0], "bias": self.δ.sum(0)}

    def squared_norms(self):
        a = torch.linalg.vecdot(self.inputs[0], self.inputs[0]).double()
        d = self.δ.double()
        return torch.linalg.vecdot(d, d) * (a + 1)

    def products(self, direction):
        along = torch.addmm(direction["bias"], self.inputs[0], direction["weight"].T)
        return torch.linalg.vecdot(along, self.δ).double()

    def tiles(self, values):
        a, d = self.inputs[0], self.δ
        for o, i in blocks((d.shape[1], a.shape[1]), max(1, values // len(d))):
            yield Tile("weight", (o, i), d[:, o, None] * a[:, None, i])
        for (o,) in blocks((d.shape[1],), max(1, values // len(d))):
            yield Tile("bias", (o,), d[:, o].clone())

    def sampled(self, name, index):
        if name == "bias":
            return self.δ[:, index]
        n = self.inputs[0].shape[1]
        return self.δ[:, index // n] * self.inputs[0][:, index % n]

    def pairs(self):
        a, d = self.inputs[0].double(), self.δ.double()
        return (d @ d.T) * (a @ a.T + 1)
