"""The operator works with the chart's rights and within the chart's admission policies: its scenarios once more, as its
ServiceAccount, on the API server with the charts.

What it may not do is in `test_admission`; this is the proof that the policies leave it all that it does.
"""

import inspect
from collections.abc import Awaitable, Callable

import pytest

from tests.manifests.cluster import Cluster
from tests.operator.controllers import test_agents as agents
from tests.operator.controllers import test_prompts as prompts
from tests.operator.controllers import test_providers as providers
from tests.operator.controllers import test_scaling as scaling
from tests.operator.controllers import test_tenants as tenants
from tests.security import test_squatting as squatting

pytestmark = [pytest.mark.xdist_group("charts"), pytest.mark.slow]
Scenario = Callable[..., Awaitable[None]]
SCENARIOS: list[Scenario] = [
    agents.test_a_shared_agent_becomes_ready_with_its_runtime,
    agents.test_what_an_agent_refers_to_is_watched,
    agents.test_the_shared_runtime_goes_with_the_last_shared_agent,
    agents.test_a_dedicated_agent_has_pods_of_its_own,
    agents.test_a_runtime_that_takes_over_is_waited_for,
    agents.test_old_revisions_go_but_not_the_one_in_use,
    agents.test_an_agent_outside_of_a_tenant_is_told_so,
    prompts.test_agents_of_one_prompt_share_it_and_take_it_with_them,
    providers.test_a_provider_with_its_key_is_ready_and_never_shows_it,
    scaling.test_the_shared_runtime_scales_when_metrics_come_and_stops_when_they_go,
    squatting.test_a_service_that_is_handed_over_leads_to_the_runtime,
    tenants.test_a_tenant_has_locked_down_namespaces,
    tenants.test_edits_reach_the_namespaces,
    tenants.test_ways_out_of_retention,
    tenants.test_a_quota_that_was_counted_too_early_is_counted_anew,
    tenants.test_a_namespace_of_somebody_else_is_not_taken_over,
    tenants.test_a_tenant_is_gone_after_its_namespaces,
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.__name__.removeprefix("test_"))
async def test_the_operator_can_do_its_work(cluster: Cluster, scenario: Scenario) -> None:
    assert cluster.plane.operator
    given = {"plane": cluster.plane, "namespace": "foreign", "mode": "Shared", "way": "annotated"}
    await scenario(**{name: given[name] for name in inspect.signature(scenario).parameters})
