# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    # Names, environment variables and kinds are those of the google.cloud collection.
    DOCUMENTATION = r"""
requirements:
  - C(google-auth) and C(requests), unless O(auth_kind=accesstoken)
attributes:
  action_group:
    description: Use C(group/cloudha.vip.gcp) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - cloudha.vip.gcp
options:
  project:
    description:
      - The project of the route, by its id. With a shared VPC this is the host project, which has the network.
      - If it is not set, the environment variable E(GCP_PROJECT) is used.
    type: str
    required: true
  auth_kind:
    description:
      - The kind of credentials.
      - V(application) are Google's application default credentials, in their usual order, first those in
        E(GOOGLE_APPLICATION_CREDENTIALS). They may be a user, a service account's key, workload identity federation or
        impersonation.
      - V(machineaccount) is a service account of the machine in Google Cloud that the module runs on.
      - V(serviceaccount) is a service account's key, in O(service_account_file) or O(service_account_contents).
      - V(accesstoken) is a token that another tool obtained, in O(access_token). This login needs nothing but Python.
      - If it is not set, the environment variable E(GCP_AUTH_KIND) is used.
    type: str
    choices: [application, machineaccount, serviceaccount, accesstoken]
    default: application
  service_account_file:
    description:
      - The file with the key of a service account, in JSON. Only with O(auth_kind=serviceaccount).
      - If it is not set, the environment variable E(GCP_SERVICE_ACCOUNT_FILE) is used.
    type: path
  service_account_contents:
    description:
      - The same as a dictionary, or as a string of JSON. Only with O(auth_kind=serviceaccount).
      - If it is not set, the environment variable E(GCP_SERVICE_ACCOUNT_CONTENTS) is used.
    type: raw
  service_account_email:
    description:
      - The machine's service account. By default its default one. Only with O(auth_kind=machineaccount).
      - If it is not set, the environment variable E(GCP_SERVICE_ACCOUNT_EMAIL) is used.
    type: str
  access_token:
    description:
      - An OAuth 2.0 access token. Only with O(auth_kind=accesstoken).
      - If it is not set, the environment variable E(GCP_ACCESS_TOKEN) is used.
    type: str
  scopes:
    description:
      - The scopes of the module's token. The permissions of the account limit it further.
      - If it is not set, the environment variable E(GCP_SCOPES) is used, a list with commas.
      - Default is C(https://www.googleapis.com/auth/compute).
    type: list
    elements: str
  endpoint:
    description:
      - The URL of the Compute Engine API, up to and with its version, for Private Service Connect, another universe,
        or a test double.
      - The module sends the credentials there; use C(https).
      - If it is not set, the environment variable E(GCP_COMPUTE_ENDPOINT) is used.
    type: str
    default: https://compute.googleapis.com/compute/v1
seealso:
  - name: Google Cloud guide
    description: Credentials of every kind, permissions, the network's requirements, and errors with their remedies.
    link: https://github.com/cloudha-vip/cloudha.vip/blob/main/docs/gcp.md
"""

    # Where two fragments have an option, that of the first counts: these two stand before cloudha.vip.gcp.
    SERVICE_PROJECT = r"""
options:
  project:
    description:
      - The project of what the module is about, by its id. With a shared VPC this is the service project.
      - If it is not set, the environment variable E(GCP_PROJECT) is used.
    type: str
    required: true
"""

    DNS = r"""
options:
  project:
    description:
      - The project of the managed zone, by its id.
      - If it is not set, the environment variable E(GCP_PROJECT) is used.
    type: str
    required: true
  scopes:
    description:
      - The scopes of the module's token. The permissions of the account limit it further.
      - If it is not set, the environment variable E(GCP_SCOPES) is used, a list with commas.
      - Default is C(https://www.googleapis.com/auth/compute) and
        C(https://www.googleapis.com/auth/ndev.clouddns.readwrite).
    type: list
    elements: str
  dns_endpoint:
    description:
      - The URL of the Cloud DNS API, up to and with its version. By default the one that goes with O(endpoint).
      - The module sends the credentials there; use C(https).
      - If it is not set, the environment variable E(GCP_DNS_ENDPOINT) is used.
    type: str
  managed_zone:
    description:
      - The managed zone, by its name in the project, such as V(my-zone). It must exist, and may be private or public.
    type: str
    required: true
  type:
    description: V(A) for IPv4 addresses, V(AAAA) for IPv6 addresses. A name can have both; use a task for each.
    type: str
    choices: [A, AAAA]
    default: A
"""

    # For a module that only reads.
    INFO = r"""
options:
  timeout:
    description:
      - The seconds for which to retry temporary failures, such as rate limits and failures of the API.
      - From 0.001 to 86400.
    type: float
    default: 60
"""
