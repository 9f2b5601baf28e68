# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    # Names and environment variables are those of the openstack.cloud collection, of Huawei Cloud's Terraform provider,
    # and of UCloud's tools.
    DOCUMENTATION = r"""
requirements:
  - C(openstacksdk) with O(provider=openstack) and O(provider=huaweicloud)
attributes:
  action_group:
    description: Use C(group/cloudha.vip.havip) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - cloudha.vip.havip
options:
  provider:
    description: The cloud.
    type: str
    choices: [openstack, huaweicloud, ucloudstack]
    required: true
  cloud:
    description:
      - The name of an entry of C(clouds.yaml), or such an entry as a dictionary.
      - If neither this nor O(auth) is given, the variables E(OS_CLOUD) and the others of OpenStack are used.
      - Only with O(provider=openstack) and O(provider=huaweicloud).
    type: raw
  auth:
    description:
      - The login, as in C(clouds.yaml), with keys such as C(auth_url), C(username), C(password) and
        C(project_name).
      - Only with O(provider=openstack) and O(provider=huaweicloud).
    type: dict
  auth_type:
    description:
      - The kind of login of openstacksdk that O(auth) is for.
      - Only with O(provider=openstack) and O(provider=huaweicloud).
    type: str
  interface:
    description:
      - The kind of the API's URL in the catalog.
      - Only with O(provider=openstack) and O(provider=huaweicloud).
    type: str
    choices: [admin, internal, public]
  validate_certs:
    description:
      - Whether to check the certificate of the API.
      - Only with O(provider=openstack) and O(provider=huaweicloud). With UCloudStack it is always checked.
    type: bool
  ca_cert:
    description: A file with the certificates of authorities to trust.
    type: path
    aliases: [cacert]
  client_cert:
    description: A file with a certificate to log in with. Only with O(provider=openstack) and O(provider=huaweicloud).
    type: path
    aliases: [cert]
  client_key:
    description: A file with its key. Only with O(provider=openstack) and O(provider=huaweicloud).
    type: path
    aliases: [key]
  api_timeout:
    description: The longest time of a request, in seconds, with the login if it comes first.
    type: float
    default: 30
  region_name:
    description:
      - The region. UCloudStack needs it.
      - If it is not set, the environment variable E(HW_REGION_NAME) or E(UCLOUD_REGION) is used.
    type: str
  auth_url:
    description:
      - The URL of the login at Huawei Cloud. By default the identity service of O(region_name).
      - If it is not set, the environment variable E(HW_AUTH_URL) is used.
      - Only with O(provider=huaweicloud).
    type: str
  user_name:
    description:
      - The IAM user. Access keys (AK/SK) are not supported.
      - If it is not set, the environment variable E(HW_USER_NAME) is used.
      - Only with O(provider=huaweicloud).
    type: str
  password:
    description:
      - The password of O(user_name).
      - If it is not set, the environment variable E(HW_USER_PASSWORD) is used.
      - Only with O(provider=huaweicloud).
    type: str
  domain_name:
    description:
      - The account that O(user_name) belongs to.
      - If it is not set, the environment variable E(HW_DOMAIN_NAME) is used.
      - Only with O(provider=huaweicloud).
    type: str
  project_name:
    description:
      - The project. By default the one with the name O(region_name).
      - If it is not set, the environment variable E(HW_PROJECT_NAME) is used.
      - Only with O(provider=huaweicloud).
    type: str
  project_id:
    description:
      - The project, by its id.
      - If it is not set, the environment variable E(HW_PROJECT_ID) or E(UCLOUD_PROJECT_ID) is used.
      - Only with O(provider=huaweicloud) and O(provider=ucloudstack).
    type: str
  endpoint:
    description:
      - The URL of the UCloudStack API, such as C(https://console.example.com/api).
      - If it is not set, the environment variable E(UCLOUD_BASE_URL) is used.
      - Only with O(provider=ucloudstack).
    type: str
  public_key:
    description:
      - The public key of the caller.
      - If it is not set, the environment variable E(UCLOUD_PUBLIC_KEY) is used.
      - Only with O(provider=ucloudstack).
    type: str
  private_key:
    description:
      - The private key of the caller, which signs the requests. The module does not send it.
      - If it is not set, the environment variable E(UCLOUD_PRIVATE_KEY) is used.
      - Only with O(provider=ucloudstack).
    type: str
  company_id:
    description: The id of the tenant. Only with O(provider=ucloudstack).
    type: int
  network:
    description:
      - The network of the virtual IP, by id or name. For UCloudStack the id of the VPC. Its name is enough to find an
        existing virtual IP.
      - OpenStack and Huawei Cloud need this, O(subnet) or O(vip_id).
    type: str
    aliases: [vpc_id]
  subnet:
    description: The subnet of the virtual IP, by id or name. Needed only if other options do not determine it.
    type: str
  vip_id:
    description: The virtual IP, by its id. For OpenStack and Huawei Cloud that of its port.
    type: str
  address:
    description: The address of the virtual IP.
    type: str
    aliases: [ip_address]
  name:
    description: The name of the virtual IP.
    type: str
seealso:
  - name: Virtual IP guide
    description: How each cloud binds a virtual IP, guarantees, limits, and errors with their remedies.
    link: https://github.com/cloudha-vip/cloudha.vip/blob/main/docs/havip.md
"""
