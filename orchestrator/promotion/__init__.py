"""Promotions by the rules of a policy: gates before the move, approvals, and who may force it."""
