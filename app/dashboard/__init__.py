"""The page at `/`: static files, no build step. `create_router` is all that the service needs."""

from app.dashboard.router import create_router

__all__ = ["create_router"]
