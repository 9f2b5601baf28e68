#!/usr/bin/python
# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: drill_report
short_description: Work out and report what clients lost in a failover drill
version_added: 1.0.0
author:
  - cloudha.vip contributors (@cloudha-vip)
description:
  - Reads what the prober recorded on the clients and what the agents recorded on the nodes, and works out for each
    fault how long clients were without an answer, what they lost, who answered, and whether the objective was met.
  - Writes C(report.json), C(report.md), C(report.html) and C(junit.xml) into O(output_dir).
  - A missed objective is a result and not an error; check RV(summary.verdict) and fail the play there.
  - Runs where the files are, usually on C(localhost). Needs only the Python standard library.
attributes:
  check_mode:
    support: full
    description: Works everything out and writes nothing.
  diff_mode:
    support: none
    description: Returns no diff.
  idempotent:
    support: full
    description: The same input gives the same files; RV(ignore:changed) tells whether a file's content changed.
options:
  topology:
    description: Name of the topology that was drilled.
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
    description: The same for the way back. Default is O(objective_ms).
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
    description: The nodes in the order in which they are shown. Nodes that only show up in the records are added.
    type: list
    elements: str
    default: []
  addresses:
    description: The addresses that were drilled, for the reader.
    type: list
    elements: str
    default: []
  probes:
    description:
      - The clients that should have recorded, by the names in their records.
      - What one saw that has not is not known, and the drill then inconclusive at best.
    type: list
    elements: str
    default: []
  pool:
    description:
      - Hosts that answer side by side, behind whoever holds the address, such as the real servers of LVS.
      - Their names in answers then do not tell who holds it.
    type: list
    elements: str
    default: []
  spread:
    description:
      - How many times its even share one host of O(pool) may answer before a fault.
      - A fault before which the answers were spread less evenly counts as failed.
    type: float
    default: 1.5
  phases:
    description:
      - What was done, and when. One entry for each fault and trial.
      - All times are wall clock times in nanoseconds since 1970 (C(date +%s%N)).
      - The time from O(phases[].started_at) to O(phases[].injected_at) shows the steady state before the fault; give it
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
        description: Which repetition of the fault this is.
        type: int
        default: 1
      target:
        description: The node that the fault was injected into.
        type: str
        required: true
      started_at:
        description: When the steady state was reached.
        type: int
        required: true
      injected_at:
        description:
          - The moment just before the fault's command ran.
          - May be left out if the fault was not injected; then O(phases[].error) says why.
        type: int
      injected_on:
        description:
          - The host whose clock gave O(phases[].injected_at), as named in O(clock_offsets_ms).
          - All other times are the controller's. Default is the controller.
        type: str
      repaired_at:
        description: When the repair of the fault began. Leave out if the fault repairs itself.
        type: int
      failback_at:
        description: When the address was told to go back. Leave out if it was not.
        type: int
      ended_at:
        description: When all was over, and clients had good answers again.
        type: int
        required: true
      objective_ms:
        description: The objective for this fault, if it is another.
        type: int
      rolled_back:
        description:
          - Whether the fault was undone and the topology was healthy at the end.
          - If not, the verdict is V(failed).
        type: bool
        required: true
      audit:
        description: Who was seen to hold the address, at any number of moments. One that is not OK fails the fault.
        type: list
        elements: dict
        default: []
        suboptions:
          when:
            description: Which moment this was, such as V(before), V(during) or V(after).
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
            description: Whether this is as it should be.
            type: bool
            required: true
          problem:
            description: What is wrong, if something is.
            type: str
      error:
        description: Why this phase could not be carried out as planned. The verdict is then V(failed).
        type: str
  records:
    description:
      - Files that the prober wrote, fetched from the clients. They may be one for each client, or one for each client
        and fault; all are read, and O(phases) say which part counts for what.
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
      - Only needed where clocks are not synchronized well. It moves markers; gaps are measured with one clock anyway.
    type: dict
    default: {}
  versions:
    description: Versions of what was drilled, shown in the report.
    type: dict
    default: {}
  output_dir:
    description: Directory for the report; made if it is missing.
    type: path
    required: true
  history_dir:
    description:
      - Directory that outlives the drill. A line for this drill is kept in its C(history.jsonl), and the report shows
        the trend over the last drills of the same topology.
    type: path
  history_length:
    description: How many drills the trend shows.
    type: int
    default: 20
seealso:
  - module: ansible.builtin.set_stats
notes:
  - Every field of C(report.json) is described in C(docs/drill-report.md); its JSON Schema is
    C(docs/report-schema.json), which is also written beside the report.
"""

EXAMPLES = r"""
- name: Report
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

- name: The objective was met
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
        V(passed) if every fault met its objective; V(failed) if one did not; V(inconclusive) if nothing is known to be
        wrong, and something could not be measured.
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
      description: Why faults have not passed.
      type: list
      elements: str
outcome:
  description:
    - What to tell if the drill has not passed; empty if it has.
    - If the verdict is V(inconclusive), it says that nothing is known to be wrong, and how to measure again.
  returned: success
  type: str
  version_added: 1.0.0
  sample: "failed: service_kill on node1: client1 was without an answer for 2,012 ms; the objective is 1,000 ms."
table:
  description: The result as a table of plain text lines, to be shown with M(ansible.builtin.debug).
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
