# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Google's API as an agent meets it, and what others do with it."""

from __future__ import annotations

import uuid
from urllib.parse import urlsplit

from ansible_collections.cloudha.vip.plugins.module_utils.clouds.gce import Compute
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.gce_names import normalise
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.session import StdlibSession
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.tokens import FixedToken
from lab import topology

DESTINATION = "10.200.1.1/32"
PROJECT = "lab-project"
NODE1 = f"projects/{PROJECT}/zones/us-central1-a/instances/node1"
NODE2 = f"projects/{PROJECT}/zones/us-central1-b/instances/node2"
NETWORK = f"projects/{PROJECT}/global/networks/ip-failover"
INSERT = {"verb": "POST", "path": "/global/routes"}
DELETE = {"verb": "DELETE", "path": "/global/routes"}
LIST = {"verb": "GET", "path": "/global/routes"}


class Cloud:
    def __init__(self, api):
        self.api = api
        self.endpoint = api.endpoint
        self.metadata = api.metadata_url["node1"]
        self.upstream = _server(api.endpoint)
        self.metadata_upstream = _server(self.metadata)
        session = StdlibSession(api.endpoint)
        self.compute = Compute(session, PROJECT, tokens=FixedToken("lab-controller-token"), endpoint=api.endpoint)
        self.behave(latency_s=0.05)

    def behave(self, **told):
        self.api.admin("PATCH", "/behaviour", told)

    @property
    def latency(self):
        return self.api.cloud.behaviour.latency_s

    def insert(self, name, holder, **more):
        body = {"name": name, "destRange": DESTINATION, "network": NETWORK, "nextHopInstance": holder, **more}
        self.compute.insert_route(body, str(uuid.uuid4()))

    def routes(self):
        with self.api.cloud.lock:
            return {name: normalise(each["nextHopInstance"]) for name, each in self.api.cloud.routes.items()}

    def gaps(self):
        """The moments at which there was an active route no more."""
        return [change for change in self.api.cloud.history if not change["next_hops"]]

    def mutations(self):
        return [entry for entry in self.api.requests if entry["mutation"]]

    def clear_log(self):
        self.api.admin("DELETE", "/log", None)

    def power(self, instance, on):
        self.api.cloud.plane.power(instance, on)

    def expire(self):
        assert self.api.cloud.expire(topology.AGENT)

    def allow(self, permissions):
        self.api.cloud.permissions[topology.AGENT] = frozenset(permissions)

    def tokens(self):
        return [token for token, (principal, _end) in self.seen_tokens() if principal == topology.AGENT]

    def seen_tokens(self):
        return list(self.api.cloud.tokens.items())


def _server(url):
    parts = urlsplit(url)
    return parts.hostname, parts.port
