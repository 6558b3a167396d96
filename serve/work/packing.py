"""Which of the waiting rows make the next batch."""

from collections.abc import Sequence

WINDOW = 4  # token budgets of the oldest rows among which similar lengths are sought
WASTE = 1.5  # padded tokens over real tokens, at the most
FREE = 512  # padded tokens below which padding is cheaper than another run


def pack(lengths: Sequence[int], budget: int) -> list[int]:
    """Indices of the next batch out of rows listed oldest first; the oldest is always among them.

    The batch grows from the oldest row to rows of the nearest lengths, as long as its padded size stays within the
    budget and is not mostly padding. A row longer than the budget goes alone.
    """
    if not lengths:
        return []
    order = sorted(range(_window(lengths, budget)), key=lambda index: (lengths[index], index))
    first = last = order.index(0)
    real = lengths[0]
    while True:
        sides = [side for side in (first - 1, last + 1) if 0 <= side < len(order)]
        nearest = sorted(sides, key=lambda side: abs(lengths[order[side]] - lengths[0]))
        for side in nearest:
            longest = lengths[order[max(side, last)]]
            padded, held = (last - first + 2) * longest, real + lengths[order[side]]
            if padded <= budget and padded <= max(FREE, WASTE * held):
                first, last, real = min(first, side), max(last, side), held
                break
        else:
            return order[first : last + 1]


def _window(lengths: Sequence[int], budget: int) -> int:
    """How many of the oldest rows to look at."""
    total = 0
    for count, length in enumerate(lengths):
        total += length
        if total > WINDOW * budget:
            return count + 1
    return len(lengths)
