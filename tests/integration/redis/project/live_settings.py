"""Django settings of the processes that meet in one Redis; the environment says which."""

import os

SECRET_KEY = "for tests only"  # noqa: S105 (no secret: nothing is served with it)
INSTALLED_APPS = ["live"]
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": os.environ["LIVE_LAYER"],
        "CONFIG": {"hosts": [os.environ["LIVE_REDIS"]], "prefix": os.environ["LIVE_PREFIX"]},
    }
}
CHANNELS_GRAPHQL_WS = {"LIST_CONNECTIONS": "LIVE_LIST" in os.environ}
USE_TZ = True
