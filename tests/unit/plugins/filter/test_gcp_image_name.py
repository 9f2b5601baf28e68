# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.cloudha.vip.plugins.filter.gcp_image_name import gcp_image_name


def test_the_files_of_the_roles_count():
    names = {gcp_image_name("web", "p", "17", roles, {"a": 1}) for roles in ([], ["nginx"], ["cloudha.vip.nginx"])}
    assert len(names) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("Web", "p", "17"), "gcp_image_name: 'Web' is no prefix"),
        (("web", "p", "17", "nginx"), "roles is no list"),
        (("web", "p", "17", [7]), "roles is no list"),
        (("web", "p", "17", ["none"]), "there is no role none"),
        (("web", "p", "17", [], {"a": object()}), "variables.a is object"),
    ],
)
def test_refused(arguments, message):
    with pytest.raises(AnsibleFilterError, match=message):
        gcp_image_name(*arguments)
