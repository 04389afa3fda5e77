"""The charts on real pods: `helm test`, an upgrade, and policies that the API server understands."""

import subprocess
from pathlib import Path

import pytest

from tests.manifests import charts
from tests.requirements import requirement
from tests.support import CACHE
from tests.support import platform as support
from tests.support.platform import SYSTEM, Platform
from tests.support.waiting import until_sync

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]
RELEASE = "agentic-platform"


def helm(platform: Platform, *arguments: str) -> str:
    """What a helm command prints; it succeeds."""
    done = charts.helm("--kubeconfig", platform.kubeconfig, "--namespace", SYSTEM, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@requirement("helm", "health")
def test_helm_test_passes(platform: Platform) -> None:
    assert "Succeeded" in helm(platform, "test", RELEASE, "--timeout", "2m")


def test_an_upgrade_keeps_keys_and_service(platform: Platform) -> None:
    """The hook runs again, this time under the NetworkPolicies of the release."""
    key = platform.admin_key()
    helm(platform, "upgrade", RELEASE, str(charts.PLATFORM), "--reuse-values", "--timeout", "5m")
    assert platform.admin_key() == key
    with platform.client(key) as client:
        assert client.get("/api/v1/keys").status_code == 200


def test_a_quickstart_goes_on_where_a_killed_one_left_its_release(platform: Platform) -> None:
    connection: list[str | Path] = ["--kubeconfig", platform.kubeconfig, "--namespace", SYSTEM]
    upgrade = ["helm", *connection, "upgrade", RELEASE, charts.PLATFORM, "--reuse-values"]
    pending = ["get", "secrets", "-n", SYSTEM, "-l", f"owner=helm,name={RELEASE},status=pending-upgrade", "-o", "name"]
    with subprocess.Popen(upgrade, stdout=subprocess.DEVNULL) as killed:
        until_sync(lambda: bool(platform.kubectl(*pending)), what="the release to be pending")
        killed.kill()
    assert platform.kubectl(*pending)
    (CACHE / "clusters/test/installed").unlink()
    support.start("test")
    assert not platform.kubectl(*pending)
    assert "STATUS: deployed" in helm(platform, "status", RELEASE)


def test_admission_policies_are_type_checked_without_warnings(platform: Platform) -> None:
    policies = platform.get("validatingadmissionpolicies")["items"]
    ours = {policy["metadata"]["name"]: policy["status"] for policy in policies}
    assert {"agentic-operator-in-tenants", "agentic-kinds-by-operator"} <= set(ours)
    for name, status in ours.items():
        assert not status["typeChecking"].get("expressionWarnings"), name


def test_every_pod_of_the_platform_is_ready(platform: Platform) -> None:
    pods = platform.pods(SYSTEM, "app.kubernetes.io/part-of=agentic-platform")
    programs = {pod["metadata"]["labels"]["app.kubernetes.io/name"] for pod in pods}
    assert {"agentic-api", "agentic-gateway", "agentic-operator"} <= programs
    assert all(status["ready"] for pod in pods for status in pod["status"]["containerStatuses"])
