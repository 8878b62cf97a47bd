"""The scenarios, in the order in which they are run."""

from tests.chaos.scenarios import failovers, jitter, kills, leases, links, replacements, rollback, storage, storm
from tests.chaos.stage import Scenario

SCENARIOS: dict[str, Scenario] = {
    each.name: each
    for each in (
        *kills.OF_PROCESSES,
        *kills.OF_SERVERS,
        *links.SCENARIOS,
        *leases.SCENARIOS,
        *storage.SCENARIOS,
        *rollback.SCENARIOS,
        *failovers.SCENARIOS,
        *replacements.SCENARIOS,
        *jitter.SCENARIOS,
        *storm.SCENARIOS,
    )
}
