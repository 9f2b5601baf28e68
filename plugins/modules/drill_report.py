#!/usr/bin/python
# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: drill_report
short_description: Compute and report the clients' losses in a failover drill
version_added: 1.0.0
author:
  - cloudha.vip contributors (@cloudha-vip)
description:
  - Reads the records of the prober on the clients and of the agents on the nodes. For each fault it computes the
    clients' gap and losses, the answering nodes, and the verdict on the objective.
  - Writes C(report.json), C(report.md), C(report.html) and C(junit.xml) into O(output_dir).
  - A missed objective is a result and not an error. Check RV(summary.verdict) and fail the play there.
  - Runs on the host that has the files, usually C(localhost). Needs only the Python standard library.
attributes:
  check_mode:
    support: full
    description: Computes everything and writes nothing.
  diff_mode:
    support: none
    description: Returns no diff.
  idempotent:
    support: full
    description: The same input gives the same files. RV(ignore:changed) shows whether a file's content changed.
options:
  topology:
    description: Name of the drilled topology.
    type: str
    required: true
  drill_id:
    description: Name of this drill, unique in O(history_dir).
    type: str
    required: true
  objective_ms:
    description: The longest time that clients may be without an answer after a fault.
    type: int
    required: true
  failback_objective_ms:
    description: The same for the fail-back. Default is O(objective_ms).
    type: int
  split_brain_objective_ms:
    description:
      - The longest time during which clients may get answers from the old holder after the new one has answered.
      - Default is O(objective_ms).
    type: int
  slow_ms:
    description: An answer that took longer counts as slow.
    type: int
    default: 100
  nodes:
    description: The nodes in the order of the report. The module adds nodes that only appear in the records.
    type: list
    elements: str
    default: []
  addresses:
    description: The drilled addresses, for the reader.
    type: list
    elements: str
    default: []
  probes:
    description:
      - The clients that must have a record, by the names in their records.
      - If a record is missing, that client's view is unknown, and the drill is inconclusive at best.
    type: list
    elements: str
    default: []
  pool:
    description:
      - Hosts that answer side by side behind the holder, such as the real servers of LVS.
      - Their names in answers do not identify the holder.
    type: list
    elements: str
    default: []
  spread:
    description:
      - The largest multiple of its even share that one host of O(pool) may answer before a fault.
      - If the answers before a fault were spread less evenly, the fault counts as failed.
    type: float
    default: 1.5
  shared:
    description:
      - Whether O(nodes) serve the addresses at once, each some of the clients. Then answers from several of them are no
        split brain.
      - Of a lost node, clients lose its share of the requests until that is noticed. The gap is that time, and no more
        than the share may be lost.
    type: bool
    default: false
  phases:
    description:
      - The actions of the drill and their times. One entry for each fault and trial.
      - All times are wall clock times in nanoseconds since 1970 (C(date +%s%N)).
      - The time from O(phases[].started_at) to O(phases[].injected_at) shows the steady state before the fault. Make it
        at least half a second.
    type: list
    elements: dict
    required: true
    suboptions:
      fault:
        description: Name of the fault, such as V(service_kill).
        type: str
        required: true
      trial:
        description: The number of this repetition of the fault.
        type: int
        default: 1
      target:
        description: The node that got the fault.
        type: str
        required: true
      started_at:
        description: The time of the steady state.
        type: int
        required: true
      injected_at:
        description:
          - The moment just before the fault's command ran.
          - May be left out if the fault was not injected; then O(phases[].error) gives the reason.
        type: int
      injected_on:
        description:
          - The host whose clock gave O(phases[].injected_at), as named in O(clock_offsets_ms).
          - All other times are the controller's. Default is the controller.
        type: str
      repaired_at:
        description: The start of the fault's repair. Leave out if the fault repairs itself.
        type: int
      failback_at:
        description: The start of the fail-back. Leave out if there was none.
        type: int
      ended_at:
        description: The end of the phase, when clients had good answers again.
        type: int
        required: true
      objective_ms:
        description: The objective for this fault, if it differs.
        type: int
      undecided:
        description:
          - The policy for what clients get after a fault that leaves no node healthy. Leave out for other faults.
          - With V(served) several nodes may answer in turn. With V(dropped) nobody is to be answered until the repair,
            so the gap begins there, and an answer just before it is a failure.
        type: str
        choices: [served, dropped]
      rolled_back:
        description:
          - Whether the fault was undone and the topology was healthy at the end.
          - If not, the verdict is V(failed).
        type: bool
        required: true
      audit:
        description: The holders of the address, at any number of moments. One that is not OK fails the fault.
        type: list
        elements: dict
        default: []
        suboptions:
          when:
            description: The name of this moment, such as V(before), V(during) or V(after).
            type: str
            required: true
          at:
            description: Time of the audit.
            type: int
          holders:
            description: The nodes that held the address.
            type: list
            elements: str
            required: true
          ok:
            description: Whether this is the expected state.
            type: bool
            required: true
          problem:
            description: The fault of this state, if any.
            type: str
      error:
        description: The reason why this phase differed from its plan. The verdict is then V(failed).
        type: str
  records:
    description:
      - Files of the prober, fetched from the clients. There may be one for each client, or one for each client
        and fault. The module reads all, and O(phases) assign the parts of them.
      - The name of the client is in the file (C(prober.py run --client)).
    type: list
    elements: path
    required: true
  events:
    description: Event logs of the agents, fetched from the nodes. They may overlap, and may hold older events.
    type: list
    elements: path
    default: []
  clock_offsets_ms:
    description:
      - How far the clock of each host (client or node) is ahead of the controller's, in milliseconds.
      - Only needed if clocks are not synchronized well. It moves markers. One clock alone measures each gap.
    type: dict
    default: {}
  versions:
    description: Versions of the drilled software, shown in the report.
    type: dict
    default: {}
  output_dir:
    description: Directory for the report. The module creates it if it is missing.
    type: path
    required: true
  history_dir:
    description:
      - Directory that outlives the drill. The module adds a line for this drill to its C(history.jsonl). The report
        shows the trend over the last drills of the same topology.
    type: path
  history_length:
    description: The number of drills in the trend.
    type: int
    default: 20
seealso:
  - module: ansible.builtin.set_stats
notes:
  - C(docs/drill-report.md) describes every field of C(report.json). Its JSON Schema is
    C(docs/report-schema.json), which the module also writes beside the report.
"""

EXAMPLES = r"""
- name: Write the report
  cloudha.vip.drill_report:
    topology: onprem_active_standby
    drill_id: 2026-11-21T030000Z
    objective_ms: 1000
    nodes: [node1, node2]
    phases:
      - fault: service_kill
        target: node1
        started_at: 1795230000000000000
        injected_at: 1795230001000000000
        injected_on: node1
        repaired_at: 1795230003000000000
        failback_at: 1795230004000000000
        ended_at: 1795230005000000000
        rolled_back: true
        audit:
          - {when: during, holders: [node2], ok: true}
    records: [/tmp/drill/client1.jsonl]
    events: [/tmp/drill/node1-events.jsonl, /tmp/drill/node2-events.jsonl]
    output_dir: build/drills/onprem_active_standby
  register: report

- name: Keep the result with the job
  ansible.builtin.set_stats:
    data:
      drill: "{{ report.summary }}"

- name: Require that the objective was met
  ansible.builtin.assert:
    that: report.summary.verdict == 'passed'
    fail_msg: "{{ report.outcome }}"
"""

RETURN = r"""
summary:
  description: The result, small enough for C(set_stats).
  returned: success
  type: dict
  contains:
    drill_id:
      description: Name of the drill.
      type: str
    topology:
      description: Name of the topology.
      type: str
    verdict:
      description: >-
        V(passed) if every fault met its objective, V(failed) if one did not. V(inconclusive) if nothing is certainly
        wrong, but something could not be measured.
      type: str
    objective_ms:
      description: The objective.
      type: int
    faults:
      description: For each fault, over all its trials.
      type: dict
      sample:
        service_kill:
          trials: 1
          gap_ms: 152.1
          gap_ms_max: 152.1
          failback_gap_ms: 9.8
          requests_lost: 37
          verdict: passed
    reasons:
      description: The reasons why faults have not passed.
      type: list
      elements: str
outcome:
  description:
    - The message for a drill that has not passed; empty if it has.
    - If the verdict is V(inconclusive), it says that nothing is certainly wrong, and how to measure again.
  returned: success
  type: str
  version_added: 1.0.0
  sample: "failed: service_kill on node1: client1 was without an answer for 2,012 ms; the objective is 1,000 ms."
table:
  description: The result as a table of plain text lines, for M(ansible.builtin.debug).
  returned: success
  type: list
  elements: str
files:
  description: The report's files by kind.
  returned: success
  type: dict
  sample:
    json: build/drills/onprem_active_standby/report.json
    md: build/drills/onprem_active_standby/report.md
    html: build/drills/onprem_active_standby/report.html
    junit: build/drills/onprem_active_standby/junit.xml
    schema: build/drills/onprem_active_standby/report-schema.json
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.cloudha.vip.plugins.module_utils.drill import report
from ansible_collections.cloudha.vip.plugins.module_utils.drill.records import RecordError

PHASE = dict(
    fault=dict(type="str", required=True),
    trial=dict(type="int", default=1),
    target=dict(type="str", required=True),
    started_at=dict(type="int", required=True),
    injected_at=dict(type="int"),
    injected_on=dict(type="str"),
    repaired_at=dict(type="int"),
    failback_at=dict(type="int"),
    ended_at=dict(type="int", required=True),
    objective_ms=dict(type="int"),
    undecided=dict(type="str", choices=["served", "dropped"]),
    rolled_back=dict(type="bool", required=True),
    audit=dict(
        type="list",
        elements="dict",
        default=[],
        options=dict(
            when=dict(type="str", required=True),
            at=dict(type="int"),
            holders=dict(type="list", elements="str", required=True),
            ok=dict(type="bool", required=True),
            problem=dict(type="str"),
        ),
    ),
    error=dict(type="str"),
)
SPEC = dict(
    topology=dict(type="str", required=True),
    drill_id=dict(type="str", required=True),
    objective_ms=dict(type="int", required=True),
    failback_objective_ms=dict(type="int"),
    split_brain_objective_ms=dict(type="int"),
    addresses=dict(type="list", elements="str", default=[]),
    probes=dict(type="list", elements="str", default=[]),
    pool=dict(type="list", elements="str", default=[]),
    spread=dict(type="float", default=1.5),
    slow_ms=dict(type="int", default=100),
    nodes=dict(type="list", elements="str", default=[]),
    shared=dict(type="bool", default=False),
    phases=dict(type="list", elements="dict", required=True, options=PHASE),
    records=dict(type="list", elements="path", required=True),
    events=dict(type="list", elements="path", default=[]),
    clock_offsets_ms=dict(type="dict", default={}),
    versions=dict(type="dict", default={}),
    output_dir=dict(type="path", required=True),
    history_dir=dict(type="path"),
    history_length=dict(type="int", default=20),
)


def main() -> None:
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    try:
        result = report.make(module.params, write=not module.check_mode)
    except RecordError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
