"""Where a new block of a pool begins: orthogonal to everything before it."""

import torch
from torch import Tensor

from ..errors import InvalidSetting


def new_rows(old: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """[count, W] orthonormal rows, orthogonal to those of old [M, W], however far these have moved since they began.

    A QR decomposition of noise beside the old rows. The reference code takes Gram-Schmidt steps
    against each old row, which is orthogonal to them only while they are so among themselves.

    Raises:
        InvalidSetting: the rows would be more than there are dimensions.
    """
    held, width = old.shape
    if held + count > width:
        raise InvalidSetting(
            f"a pool of {held} components takes no {count} more: {width} directions are all there are",
            hint="--set components=N with a smaller N for the sessions to come",
        )
    noise = torch.randn(width, count, generator=generator, dtype=torch.float64)
    basis = torch.linalg.qr(torch.cat([old.T.double(), noise], dim=1)).Q
    return basis[:, held:].T.float().contiguous()


def orthogonality(rows: Tensor) -> Tensor:
    """The sum over layers of mean((B B^T - I)^2) for the rows B of each, [L, M, W]."""
    products = rows @ rows.transpose(1, 2)
    return (products - torch.eye(rows.shape[1], device=rows.device)).square().mean((1, 2)).sum()
