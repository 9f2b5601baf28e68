# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A contestant: the procedure of the collection in a process that is there already, as in the agent on a node.

Its clients have their connections and their token. It prints a line when it is ready, and begins when it gets one.
"""

import json
import os
import sys

from ansible_collections.cloudha.vip.plugins.module_utils.clouds.gce import Compute
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.session import StdlibSession
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.tokens import FixedToken
from ansible_collections.cloudha.vip.plugins.module_utils.failover import alias, engine
from ansible_collections.cloudha.vip.plugins.module_utils.failover.alias_goal import AliasGoal, Want

move = json.loads(os.environ["BENCH_MOVE"])


def make_client() -> Compute:
    session = StdlibSession(move["endpoint"])
    session.warm()
    return Compute(session, move["project"], tokens=FixedToken(move["token"]), endpoint=move["endpoint"])


client = make_client()
goal = AliasGoal([Want(move["range"], [(move["instance"], "nic0")], move["range_name"])])
print("ready", flush=True)
sys.stdin.readline()
engine.apply(alias, client, goal, make_client=make_client)
