# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Google's library for Python, google-cloud-compute, works against the lab's API."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import compute_v1
from google.oauth2.credentials import Credentials

from ansible_collections.cloudha.vip.tests.contract.lb_api import (
    ADDRESS,
    CHECKS,
    HOST,
    NETWORK,
    SERVICES,
    SUBNETWORK,
    groups,
    instance,
)
from lab import topology
from lab.gce.server import Local

REGION = {"project": "lab-project", "region": "us-central1"}
GLOBAL = {"project": "lab-project"}
ZONE = {"project": "lab-project", "zone": "us-central1-a"}
GROUP = f"{HOST}{groups('node1')}/of-node1"


class Sdk:
    """The library's clients at the lab's endpoint, and operations that are waited for there.

    The library's own way to wait asks Google's public endpoint, whatever endpoint the client has.
    """

    def __init__(self, gce: Local) -> None:
        self.options: dict[str, Any] = {
            "client_options": {"api_endpoint": gce.root},
            "credentials": Credentials(token=topology.CONTROLLER_TOKEN),
        }
        self.addresses = compute_v1.AddressesClient(**self.options)
        self.checks = compute_v1.RegionHealthChecksClient(**self.options)
        self.global_checks = compute_v1.HealthChecksClient(**self.options)
        self.groups = compute_v1.InstanceGroupsClient(**self.options)
        self.services = compute_v1.RegionBackendServicesClient(**self.options)
        self.rules = compute_v1.ForwardingRulesClient(**self.options)
        self.firewalls = compute_v1.FirewallsClient(**self.options)
        self.regions = compute_v1.RegionsClient(**self.options)

    def done(self, operation: compute_v1.Operation) -> compute_v1.Operation:
        """The operation when it has ended well."""
        where = {"project": "lab-project", "operation": operation.name}
        if operation.region:
            client: Any = compute_v1.RegionOperationsClient(**self.options)
            where["region"] = operation.region.rpartition("/")[2]
        elif operation.zone:
            client = compute_v1.ZoneOperationsClient(**self.options)
            where["zone"] = operation.zone.rpartition("/")[2]
        else:
            client = compute_v1.GlobalOperationsClient(**self.options)
        ended: compute_v1.Operation = client.wait(where)
        assert ended.status == compute_v1.Operation.Status.DONE and not ended.error.errors, ended
        return ended

    def parts(self) -> None:
        """A health check, and a group with a node."""
        body = compute_v1.HealthCheck(name="web", type_="TCP", tcp_health_check=compute_v1.TCPHealthCheck(port=80))
        self.done(self.checks.insert_unary(health_check_resource=body, **REGION))
        group = compute_v1.InstanceGroup(name="of-node1")
        self.done(self.groups.insert_unary(instance_group_resource=group, **ZONE))
        added = compute_v1.InstanceGroupsAddInstancesRequest(
            instances=[compute_v1.InstanceReference(instance=instance("node1"))]
        )
        self.done(
            self.groups.add_instances_unary(
                instance_group="of-node1", instance_groups_add_instances_request_resource=added, **ZONE
            )
        )

    def service(self, **more: Any) -> compute_v1.BackendService:
        """A backend service that was made."""
        backend = compute_v1.Backend(group=GROUP, balancing_mode="CONNECTION")
        fields = {
            "name": "web",
            "load_balancing_scheme": "INTERNAL",
            "protocol": "TCP",
            "health_checks": [f"{HOST}{CHECKS}/web"],
            "backends": [backend],
            **more,
        }
        body = compute_v1.BackendService(**fields)
        self.done(self.services.insert_unary(backend_service_resource=body, **REGION))
        return self.services.get(backend_service=fields["name"], **REGION)

    def rule(self, **more: Any) -> compute_v1.ForwardingRule:
        """A forwarding rule that was made."""
        fields = {
            "name": "web",
            "load_balancing_scheme": "INTERNAL",
            "backend_service": f"{HOST}{SERVICES}/web",
            "network": NETWORK,
            "subnetwork": SUBNETWORK,
            "I_p_address": ADDRESS,
            "I_p_protocol": "TCP",
            "ports": ["80"],
            **more,
        }
        body = compute_v1.ForwardingRule(**fields)
        self.done(self.rules.insert_unary(forwarding_rule_resource=body, **REGION))
        return self.rules.get(forwarding_rule=fields["name"], **REGION)


@pytest.fixture
def sdk(gce: Local) -> Sdk:
    return Sdk(gce)


def test_addresses(sdk: Sdk) -> None:
    body = compute_v1.Address(name="vip", address_type="INTERNAL", address=ADDRESS, subnetwork=SUBNETWORK)
    key = str(uuid.uuid4())
    request: dict[str, Any] = {"address_resource": body, "request_id": key, **REGION}
    operation = sdk.done(sdk.addresses.insert_unary(request))
    assert sdk.addresses.insert_unary(request).name == operation.name, "the same request"
    with pytest.raises(exceptions.Conflict):
        sdk.addresses.insert_unary(address_resource=body, **REGION)
    assert [each.address for each in sdk.addresses.list(**REGION)] == [ADDRESS]
    scopes = {scope: found.addresses for scope, found in sdk.addresses.aggregated_list(**GLOBAL)}
    assert [each.name for each in scopes["regions/us-central1"]] == ["vip"]
    sdk.done(sdk.addresses.delete_unary(address="vip", **REGION))
    with pytest.raises(exceptions.NotFound):
        sdk.addresses.get(address="vip", **REGION)
    with pytest.raises(exceptions.BadRequest, match="Unknown region"):
        sdk.addresses.list(project="lab-project", region="mars")


def test_health_checks(sdk: Sdk) -> None:
    http = compute_v1.HTTPHealthCheck(port=8080, request_path="/up")
    body = compute_v1.HealthCheck(name="web", type_="HTTP", http_health_check=http, check_interval_sec=3, timeout_sec=1)
    for client, where in ((sdk.checks, REGION), (sdk.global_checks, GLOBAL)):
        sdk.done(client.insert_unary(health_check_resource=body, **where))
        patch = compute_v1.HealthCheck(unhealthy_threshold=3)
        sdk.done(client.patch_unary(health_check="web", health_check_resource=patch, **where))
        found = client.get(health_check="web", **where)
        assert (found.unhealthy_threshold, found.http_health_check.request_path) == (3, "/up")
        found.timeout_sec = 2
        sdk.done(client.update_unary(health_check="web", health_check_resource=found, **where))
        assert [(each.timeout_sec, each.unhealthy_threshold) for each in client.list(**where)] == [(2, 3)]
        found.timeout_sec = 4
        with pytest.raises(exceptions.BadRequest, match="TimeoutSec should be less"):
            client.update_unary(health_check="web", health_check_resource=found, **where)
    scopes = {scope: len(found.health_checks) for scope, found in sdk.global_checks.aggregated_list(**GLOBAL)}
    assert scopes == {"global": 1, "regions/us-central1": 1}
    sdk.done(sdk.checks.delete_unary(health_check="web", **REGION))
    sdk.done(sdk.global_checks.delete_unary(health_check="web", **GLOBAL))
    assert list(sdk.checks.list(**REGION)) == []


def test_instance_groups(sdk: Sdk) -> None:
    sdk.parts()
    where = {"instance_group": "of-node1", **ZONE}
    asked = compute_v1.InstanceGroupsListInstancesRequest(instance_state="ALL")
    members = sdk.groups.list_instances(instance_groups_list_instances_request_resource=asked, **where)
    assert [(each.instance, each.status) for each in members] == [(instance("node1"), "RUNNING")]
    found = sdk.groups.get(**where)
    ports = compute_v1.InstanceGroupsSetNamedPortsRequest(
        named_ports=[compute_v1.NamedPort(name="http", port=80)], fingerprint=found.fingerprint
    )
    sdk.done(sdk.groups.set_named_ports_unary(instance_groups_set_named_ports_request_resource=ports, **where))
    with pytest.raises(exceptions.PreconditionFailed):
        sdk.groups.set_named_ports_unary(instance_groups_set_named_ports_request_resource=ports, **where)
    reference = [compute_v1.InstanceReference(instance=instance("node1"))]
    again = compute_v1.InstanceGroupsAddInstancesRequest(instances=reference)
    with pytest.raises(exceptions.BadRequest, match="is already a member of"):
        sdk.groups.add_instances_unary(instance_groups_add_instances_request_resource=again, **where)
    removed = compute_v1.InstanceGroupsRemoveInstancesRequest(instances=reference)
    sdk.done(sdk.groups.remove_instances_unary(instance_groups_remove_instances_request_resource=removed, **where))
    assert [each.size for each in sdk.groups.list(**ZONE)] == [0]
    scopes = {scope: len(found.instance_groups) for scope, found in sdk.groups.aggregated_list(**GLOBAL)}
    assert scopes["zones/us-central1-a"] == 1
    sdk.done(sdk.groups.delete_unary(**where))


def test_backend_services(gce: Local, sdk: Sdk) -> None:
    sdk.parts()
    made = sdk.service(failover_policy=compute_v1.BackendServiceFailoverPolicy(failover_ratio=0.0))
    where = {"backend_service": "web", **REGION}
    patch = compute_v1.BackendService(fingerprint=made.fingerprint, session_affinity="CLIENT_IP")
    sdk.done(sdk.services.patch_unary(backend_service_resource=patch, **where))
    with pytest.raises(exceptions.PreconditionFailed):
        sdk.services.patch_unary(backend_service_resource=patch, **where)
    with pytest.raises(exceptions.BadRequest, match="fingerprint"):
        sdk.services.patch_unary(backend_service_resource=compute_v1.BackendService(protocol="UDP"), **where)
    found = sdk.services.get(**where)
    found.connection_draining.draining_timeout_sec = 60
    sdk.done(sdk.services.update_unary(backend_service_resource=found, **where))
    (found,) = sdk.services.list(**REGION)
    assert (found.session_affinity, found.connection_draining.draining_timeout_sec) == ("CLIENT_IP", 60)
    # The library sends no empty list: what it cannot say, it cannot do.
    nothing = compute_v1.BackendService(fingerprint=found.fingerprint, backends=[])
    sdk.done(sdk.services.patch_unary(backend_service_resource=nothing, **where))
    assert len(sdk.services.get(**where).backends) == 1
    asked = compute_v1.ResourceGroupReference(group=GROUP)
    assert not sdk.services.get_health(resource_group_reference_resource=asked, **where).health_status
    sdk.rule()
    gce.cloud.balancers.health["web", "node1"] = "HEALTHY"
    (health,) = sdk.services.get_health(resource_group_reference_resource=asked, **where).health_status
    assert (health.health_state, health.instance) == ("HEALTHY", instance("node1"))
    with pytest.raises(exceptions.BadRequest, match="is already being used by"):
        sdk.services.delete_unary(**where)
    everywhere = compute_v1.BackendServicesClient(**sdk.options).aggregated_list(**GLOBAL)
    assert {scope: len(found.backend_services) for scope, found in everywhere}["regions/us-central1"] == 1
    sdk.done(sdk.rules.delete_unary(forwarding_rule="web", **REGION))
    sdk.done(sdk.services.delete_unary(**where))


def test_forwarding_rules(sdk: Sdk) -> None:
    sdk.parts()
    sdk.service()
    sdk.service(name="other")
    made = sdk.rule()
    where = {"forwarding_rule": "web", **REGION}
    patch = compute_v1.ForwardingRule(allow_global_access=True, fingerprint=made.fingerprint)
    sdk.done(sdk.rules.patch_unary(forwarding_rule_resource=patch, **where))
    with pytest.raises(exceptions.PreconditionFailed):
        sdk.rules.patch_unary(forwarding_rule_resource=patch, **where)
    target = compute_v1.TargetReference(target=f"{HOST}{SERVICES}/other")
    sdk.done(sdk.rules.set_target_unary(target_reference_resource=target, **where))
    labels = compute_v1.RegionSetLabelsRequest(labels={"a": "b"}, label_fingerprint=made.label_fingerprint)
    operation = sdk.rules.set_labels_unary(resource="web", region_set_labels_request_resource=labels, **REGION)
    assert operation.status == compute_v1.Operation.Status.DONE
    (found,) = sdk.rules.list(**REGION)
    assert (found.allow_global_access, found.I_p_address, dict(found.labels)) == (True, ADDRESS, {"a": "b"})
    assert found.backend_service.endswith("/other") and found.fingerprint != made.fingerprint
    with pytest.raises(exceptions.Conflict, match="IP_IN_USE_BY_ANOTHER_RESOURCE"):
        sdk.rule(name="more", ports=["81"])
    with pytest.raises(exceptions.BadRequest, match="at least one port"):
        sdk.rule(name="more", ports=[])
    scopes = {scope: len(found.forwarding_rules) for scope, found in sdk.rules.aggregated_list(**GLOBAL)}
    assert scopes["regions/us-central1"] == 1
    sdk.done(sdk.rules.delete_unary(**where))
    sdk.service(name="all", protocol="UNSPECIFIED")
    rest = sdk.rule(backend_service=f"{HOST}{SERVICES}/all", I_p_protocol="L3_DEFAULT", ports=[], all_ports=True)
    assert rest.all_ports and rest.I_p_protocol == "L3_DEFAULT"


def test_firewalls(sdk: Sdk) -> None:
    allowed = [compute_v1.Allowed(I_p_protocol="tcp", ports=["80"])]
    ranges = ["35.191.0.0/16", "130.211.0.0/22"]
    body = compute_v1.Firewall(name="probes", network=NETWORK, source_ranges=ranges, allowed=allowed)
    sdk.done(sdk.firewalls.insert_unary(firewall_resource=body, **GLOBAL))
    patch = compute_v1.Firewall(name="probes", target_tags=["backend"])
    sdk.done(sdk.firewalls.patch_unary(firewall="probes", firewall_resource=patch, **GLOBAL))
    found = sdk.firewalls.get(firewall="probes", **GLOBAL)
    assert (list(found.source_ranges), list(found.target_tags)) == (ranges, ["backend"])
    body.priority = 5
    sdk.done(sdk.firewalls.update_unary(firewall="probes", firewall_resource=body, **GLOBAL))
    found = sdk.firewalls.get(firewall="probes", **GLOBAL)
    assert found.priority == 5 and not found.target_tags
    sdk.done(sdk.firewalls.delete_unary(firewall="probes", **GLOBAL))


def test_regions(sdk: Sdk) -> None:
    assert [each.name for each in sdk.regions.list(**GLOBAL)] == ["us-central1"]
    limits = {each.metric: each.limit for each in sdk.regions.get(**REGION).quotas}
    assert limits["INTERNAL_ADDRESSES"] == 200
