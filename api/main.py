"""The community's server: `uvicorn api.main:app`. Settings come from the environment (see warp.server.Settings)."""

from warp.hub import open_hub
from warp.server import Settings, create_app

settings = Settings.from_env()
app = create_app(open_hub(settings.hub), settings)
