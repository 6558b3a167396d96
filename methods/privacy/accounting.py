"""How much noise a privacy budget asks for, and what so many noisy steps spend.

Opacus' accountant of Rényi differential privacy (Mironov, 2017; of the sampled Gaussian mechanism Mironov, Talwar and
Zhang, 2019). Two sets of rows are neighbours when one has one row more. The bound holds whatever orders are tried; it
is a little looser than that of privacy-loss distributions (8% more noise at epsilon 8), and has no numerical error.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ..errors import InvalidSetting

CLIP = 1.0  # L2 norm of one row's gradient over all that trains
TOLERANCE = 1e-3  # share of the budget that may stay unspent
ACCOUNTANT = "rdp"
# of which the best is taken; more of them give a tenth of a percent at epsilon 8, and take three times as long
ORDERS = [
    1.05,
    *(1 + x / 5 for x in range(1, 10)),
    *(3 + x / 2 for x in range(8)),
    *range(7, 33),
    48,
    64,
    128,
    256,
    512,
]


@dataclass(frozen=True)
class Mechanism:
    """One step's sampled Gaussian mechanism: rows drawn, gradients clipped, their sum hidden in noise."""

    noise_multiplier: float  # standard deviation of the noise, in units of `clip`
    clip: float
    sample_rate: float  # the chance of each row to be in a batch


def calibrated(epsilon: float, delta: float, sample_rate: float, steps: int, clip: float = CLIP) -> Mechanism:
    """The least noise with which so many steps stay within (epsilon, delta).

    Raises:
        InvalidSetting: a budget that no noise keeps.
    """
    from opacus.accountants.utils import get_noise_multiplier  # it imports all of opacus, seconds of work

    try:
        with _any_order():
            noise = get_noise_multiplier(
                target_epsilon=epsilon,
                target_delta=delta,
                sample_rate=sample_rate,
                steps=steps,
                accountant=ACCOUNTANT,
                epsilon_tolerance=epsilon * TOLERANCE,
                alphas=ORDERS,
            )
    except ValueError:
        raise InvalidSetting(
            f"no noise keeps {steps} steps within epsilon {epsilon:g} at delta {delta:g}",
            hint="allow a larger epsilon or delta, or train for fewer epochs",
        ) from None
    return Mechanism(noise, clip, sample_rate)


def spent(mechanism: Mechanism, steps: int, delta: float) -> float:
    """The epsilon of so many steps."""
    from opacus.accountants import RDPAccountant

    accountant = RDPAccountant()
    accountant.history = [(mechanism.noise_multiplier, mechanism.sample_rate, steps)]
    with _any_order():
        return float(accountant.get_epsilon(delta, alphas=ORDERS))


@contextmanager
def _any_order() -> Iterator[None]:
    """Opacus warns where the best order is the last one tried; the bound holds there too."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Optimal order is the")
        yield
