# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the databases of Keystone and Neutron that each cloud of the lab begins with: ``prepare.py DIRECTORY``.

Run by the Python of `lab.openstack.environment`. In the catalogue stand the URLs below: a cloud that starts puts its
own in their place.
"""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

IDENTITY, NETWORK, COMPUTE = "http://identity.invalid/v3", "http://network.invalid", "http://compute.invalid/v2.1"
REGION = "RegionOne"
PASSWORDS = {"admin": "lab-admin", "neutron": "lab-neutron", "operator": "lab-operator"}
PROJECT = "lab"

_KEYSTONE = """
[identity]
# Logging in is not what is tried here: the least work that the library allows.
password_hash_rounds = 4
[database]
connection = sqlite:///{database}
sqlite_synchronous = false
[token]
provider = fernet
# Each of these is below /etc/keystone by default: a machine without a Keystone has none, one with has another's.
[fernet_tokens]
key_repository = {keys}
[fernet_receipts]
key_repository = {keys}
[credential]
key_repository = {keys}
[jwt_tokens]
jws_public_key_repository = {keys}
jws_private_key_repository = {keys}
[oslo_policy]
policy_file = {keys}/none.yaml
policy_dirs = {keys}/none.d
[cache]
# Without it Keystone looks up the roles of a token again and again: checking one takes 0.7 s instead of 7 ms.
enabled = true
backend = oslo_cache.dict
"""


def main(directory: Path) -> None:
    """Fill ``directory``: keystone.sqlite, neutron.sqlite, keys/."""
    directory.mkdir(parents=True)
    _neutron(directory / "neutron.sqlite")
    _keystone(directory)


def keystone_conf(database: Path, keys: Path) -> str:
    """Keystone's configuration."""
    return _KEYSTONE.format(database=database, keys=keys)


def no_other_configuration(directory: Path) -> list[str]:
    """Arguments that keep a service from reading what an installed one has in /etc; ``directory`` is the lab's."""
    none = directory / "conf.d"
    none.mkdir(exist_ok=True)
    return ["--config-dir", str(none)]


def _keystone(directory: Path) -> None:
    configuration = directory / "keystone.conf"
    configuration.write_text(keystone_conf(directory / "keystone.sqlite", directory / "keys"))
    # A key to sign tokens with, and the next one: what `keystone-manage fernet_setup` makes, 4 s sooner.
    (directory / "keys").mkdir(mode=0o700)
    for name in ("0", "1"):
        (directory / "keys" / name).write_bytes(base64.urlsafe_b64encode(os.urandom(32)))
    manage = [str(Path(sys.executable).with_name("keystone-manage")), "--config-file", str(configuration)]
    manage += no_other_configuration(directory)
    subprocess.run([*manage, "db_sync"], check=True)
    urls = [word for kind in ("admin", "internal", "public") for word in (f"--bootstrap-{kind}-url", IDENTITY)]
    region = ("--bootstrap-region-id", REGION)
    subprocess.run([*manage, "bootstrap", "--bootstrap-password", PASSWORDS["admin"], *urls, *region], check=True)
    os.environ["OS_KEYSTONE_CONFIG_FILES"] = str(configuration)
    sys.argv = ["keystone", *no_other_configuration(directory)]
    _populate()
    configuration.unlink()


def _populate() -> None:
    """What a cloud's operator does with the API: users, projects, the catalogue."""
    import webob  # type: ignore[import-untyped]
    from keystone.wsgi.api import application  # type: ignore[import-not-found]

    token = ""

    def call(method: str, path: str, body: object = None) -> Any:
        nonlocal token
        request = webob.Request.blank(f"/v3{path}", method=method, headers={"X-Auth-Token": token})
        if body is not None:
            request.json = body
        response = request.get_response(application)
        if response.status_code >= 400:
            raise SystemExit(f"{method} {path}: {response.status} {response.text}")
        token = response.headers.get("X-Subject-Token", token)
        return response.json if response.body else None

    admin = {"name": "admin", "domain": {"id": "default"}}
    call(
        "POST",
        "/auth/tokens",
        {
            "auth": {
                "identity": {
                    "methods": ["password"],
                    "password": {"user": {**admin, "password": PASSWORDS["admin"]}},
                },
                "scope": {"project": admin},
            }
        },
    )
    roles = {each["name"]: each["id"] for each in call("GET", "/roles")["roles"]}
    for project, user, granted in (("service", "neutron", ("admin", "service")), (PROJECT, "operator", ("member",))):
        where = call("POST", "/projects", {"project": {"name": project, "domain_id": "default"}})["project"]["id"]
        person = {"name": user, "password": PASSWORDS[user], "domain_id": "default"}
        who = call("POST", "/users", {"user": person})["user"]["id"]
        for role in granted:
            call("PUT", f"/projects/{where}/users/{who}/roles/{roles[role]}")
    for kind, name, url in (("network", "neutron", NETWORK), ("compute", "nova", COMPUTE)):
        service = call("POST", "/services", {"service": {"type": kind, "name": name}})["service"]["id"]
        for interface in ("public", "internal", "admin"):
            endpoint = {"service_id": service, "interface": interface, "url": url, "region_id": REGION}
            call("POST", "/endpoints", {"endpoint": endpoint})


def _neutron(path: Path) -> None:
    """The tables from the models: Neutron's migrations do not run on SQLite."""
    import sqlalchemy  # type: ignore[import-not-found]
    from neutron.db.migration.models import head  # type: ignore[import-not-found]

    tables = head.get_metadata()
    with sqlalchemy.create_engine(f"sqlite:///{path}").begin() as connection:
        connection.exec_driver_sql("PRAGMA synchronous=OFF")
        tables.create_all(connection)
        # And what a migration would have put in: the rules that each security group begins with.
        attributes, defaults = (tables.tables[name] for name in ("standardattributes", "securitygroupdefaultrules"))
        for direction, remote, everywhere in (("egress", None, True), ("ingress", "PARENT", False)):
            for ethertype in ("IPv4", "IPv6"):
                row = {"resource_type": "securitygroupdefaultrules", "revision_number": 0}
                number = connection.execute(attributes.insert().values(**row)).inserted_primary_key[0]
                connection.execute(
                    defaults.insert().values(
                        id=str(uuid.uuid4()),
                        standard_attr_id=number,
                        direction=direction,
                        ethertype=ethertype,
                        remote_group_id=remote,
                        used_in_default_sg=True,
                        used_in_non_default_sg=everywhere,
                    )
                )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
