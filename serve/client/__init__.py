"""Clients of a running server, which need neither torch nor Ray."""

from .client import AsyncClient, Client

__all__ = ["AsyncClient", "Client"]
