"""Headers that a client does not choose freely."""

import re

REQUEST_ID = "x-request-id"
STRICT = re.compile(r"[A-Za-z0-9-]{1,64}")  # what an X-Request-Id may be
STEERING = (  # by which a client of Ray Serve would steer it; nothing behind the edge sees them
    "serve_multiplexed_model_id",
    "serve-multiplexed-model-id",
    "x-request-timeout-seconds",
    "x-request-disconnect-disabled",
    "x-session-id",
)
