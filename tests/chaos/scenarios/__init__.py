"""The scenarios, in the order in which they are run."""

from tests.chaos.scenarios import kills, links
from tests.chaos.stage import Scenario

SCENARIOS: dict[str, Scenario] = {each.name: each for each in (*kills.SCENARIOS, *links.SCENARIOS)}
