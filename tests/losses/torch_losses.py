"""Losses that PyTorch lacks, from their published formulas, with PyTorch's derivatives."""

import pytest

torch = pytest.importorskip("torch", reason="needs the oracle: pip install torch")
F = torch.nn.functional


class _Loss(torch.nn.Module):
    def __init__(self, reduction="mean"):
        super().__init__()
        self.reduction = reduction

    def reduced(self, terms):
        return {"mean": terms.mean, "sum": terms.sum, "none": lambda: terms}[self.reduction]()


class FocalLoss(_Loss):
    """As torchvision.ops.sigmoid_focal_loss has it."""

    def __init__(self, gamma=2.0, alpha=0.25, reduction="mean"):
        super().__init__(reduction)
        self.gamma, self.alpha = gamma, alpha

    def forward(self, inputs, targets):
        p = torch.sigmoid(inputs)
        loss = F.binary_cross_entropy_with_logits(inputs, targets, reduction="none")
        p_t = p * targets + (1 - p) * (1 - targets)
        loss = loss * ((1 - p_t) ** self.gamma)
        if self.alpha is not None:
            loss = loss * (self.alpha * targets + (1 - self.alpha) * (1 - targets))
        return self.reduced(loss)


class DiceLoss(_Loss):
    def __init__(self, smooth=1.0, reduction="mean"):
        super().__init__(reduction)
        self.smooth = smooth

    def forward(self, inputs, targets):
        p, t = (x.reshape(len(x), -1) for x in (torch.sigmoid(inputs), targets))
        top = 2 * (p * t).sum(1) + self.smooth
        return self.reduced(1 - top / (p.sum(1) + t.sum(1) + self.smooth))


class QuantileLoss(_Loss):
    def __init__(self, q, reduction="mean"):
        super().__init__(reduction)
        self.q = torch.as_tensor(q, dtype=torch.float64)

    def error(self, inputs, targets):
        return (targets[..., None] if self.q.ndim else targets) - inputs

    def forward(self, inputs, targets):
        error = self.error(inputs, targets)
        return self.reduced(torch.maximum(self.q * error, (self.q - 1) * error))


class ExpectileLoss(QuantileLoss):
    def forward(self, inputs, targets):
        error = self.error(inputs, targets)
        return self.reduced(torch.abs(self.q - (error < 0).double()) * error**2)


class ChiSquareLoss(_Loss):
    def forward(self, inputs, targets, error):
        error = error.reshape(error.shape + (1,) * (inputs.ndim - error.ndim))
        return self.reduced(((inputs - targets) / error) ** 2)
