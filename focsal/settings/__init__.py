"""Settings, one module per concern; the environment is read in these modules only."""

from focsal.settings.accounts import *  # noqa: F403
from focsal.settings.api import *  # noqa: F403
from focsal.settings.base import *  # noqa: F403
from focsal.settings.data import *  # noqa: F403
from focsal.settings.logs import *  # noqa: F403
from focsal.settings.market import *  # noqa: F403
from focsal.settings.tasks import *  # noqa: F403
