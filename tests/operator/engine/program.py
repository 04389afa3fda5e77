"""An operator with the smallest controller as a process of its own, which tests stop, suspend and kill."""

import uvloop

from agentic_core import telemetry
from agentic_operator.main import run
from agentic_operator.settings import OperatorSettings
from tests.operator.engine.tiny import TinyController

if __name__ == "__main__":
    settings = OperatorSettings()
    telemetry.configure("agentic-operator", settings)
    uvloop.run(run(settings, [TinyController()]))
