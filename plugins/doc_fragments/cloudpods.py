# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    # The environment variables are climc's, Cloudpods' own command.
    DOCUMENTATION = r"""
attributes:
  action_group:
    description: Use C(group/cloudha.vip.cloudpods) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - cloudha.vip.cloudpods
options:
  auth_url:
    description:
      - The URL of the identity service (Keystone), up to and with C(/v3), such as
        V(https://cloudpods.example:30500/v3).
      - If it is not set, the environment variable E(OS_AUTH_URL) is used.
    type: str
    required: true
  username:
    description:
      - The user of the login. Give it with O(password), or give O(token) instead.
      - If it is not set, the environment variable E(OS_USERNAME) is used.
    type: str
  password:
    description:
      - The password of the user.
      - If it is not set, the environment variable E(OS_PASSWORD) is used.
    type: str
  token:
    description:
      - A token that another tool obtained. The module exchanges it for a token of the project. It precedes O(username).
      - If it is not set, the environment variable E(OS_AUTH_TOKEN) is used.
    type: str
  domain_name:
    description:
      - The domain of the user, such as V(Default).
      - If it is not set, the environment variable E(OS_DOMAIN_NAME) is used.
    type: str
  project_name:
    description:
      - The project to log in to. The module sees groups, guests and EIPs as this project does.
      - If it is not set, the environment variable E(OS_PROJECT_NAME) is used.
    type: str
  project_domain:
    description:
      - The domain of the project.
      - If it is not set, the environment variable E(OS_PROJECT_DOMAIN) is used.
    type: str
  region_name:
    description:
      - The region of the service. Needed only if the catalog has several.
      - If it is not set, the environment variable E(OS_REGION_NAME) is used.
    type: str
  endpoint_type:
    description:
      - The kind of the service's URL in the catalog.
      - If it is not set, the environment variable E(OS_ENDPOINT_TYPE) is used.
    type: str
    choices: [publicURL, internalURL, adminURL]
    default: internalURL
  compute_endpoint:
    description: The URL of the compute service (region), instead of the catalog's.
    type: str
  validate_certs:
    description:
      - Whether certificates of servers must be trusted.
      - If it is not set and the environment variable E(YUNION_INSECURE) is true, they need not.
    type: bool
    default: true
  ca_cert:
    description:
      - A file with certificates of authorities to trust, besides the system's.
      - If it is not set, the environment variable E(OS_CACERT) is used.
    type: path
  client_cert:
    description:
      - A file with the certificate to show to servers.
      - If it is not set, the environment variable E(YUNION_CERT_FILE) is used.
    type: path
  client_key:
    description:
      - The key of O(client_cert). It may be in the same file.
      - If it is not set, the environment variable E(YUNION_KEY_FILE) is used.
    type: path
seealso:
  - name: Cloudpods guide
    description: From climc's commands to the modules, permissions, limits, and errors with their remedies.
    link: https://github.com/cloudha-vip/cloudha.vip/blob/main/docs/cloudpods.md
"""
