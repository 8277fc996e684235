"""Settings, one module per concern; the environment is read in these modules only."""

from focsal.settings.accounts import *
from focsal.settings.alerts import *
from focsal.settings.api import *
from focsal.settings.base import *
from focsal.settings.billing import *
from focsal.settings.data import *
from focsal.settings.logs import *
from focsal.settings.market import *
from focsal.settings.stream import *
from focsal.settings.tasks import *
