# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How Sphinx renders what antsibull-docs makes of the collection: as docs.ansible.com does, but without a network."""

from __future__ import annotations

import re

from docutils import nodes

project = "cloudha.vip"
copyright = "the cloudha.vip contributors"  # noqa: A001 - the name that Sphinx reads
html_title = html_short_title = "cloudha.vip"
extensions = ["sphinx_antsibull_ext"]
pygments_style = "ansible"
highlight_language = "YAML+Jinja"
html_theme = "sphinx_ansible_theme"
html_show_sphinx = False
html_use_index = False
html_copy_source = False
default_role = "any"
nitpicky = True

ANSIBLE = "https://docs.ansible.com/ansible/latest"
# Labels of other documents, which Sphinx would look up in an index on the network. Any other unknown label is an error.
ELSEWHERE = (
    (r"common_return_values", f"{ANSIBLE}/reference_appendices/common_return_values.html"),
    (r"action_plugins", f"{ANSIBLE}/plugins/action.html"),
    (r"ansible_configuration_settings", f"{ANSIBLE}/reference_appendices/config.html"),
    (
        r"ansible_collections\.(ansible\.builtin|google\.cloud|openstack\.cloud)\.(\w+?)(?:__\w+.*)?",
        ANSIBLE + "/collections/{0}/{1}.html",
    ),
)


def elsewhere(app, env, node, content):
    """The link of a reference to a label in ``ELSEWHERE``; None for all others, of which Sphinx then warns."""
    for pattern, url in ELSEWHERE:
        found = re.fullmatch(pattern, node["reftarget"])
        if found:
            parts = [part.replace(".", "/") for part in found.groups()]
            link = nodes.reference("", "", internal=False, refuri=url.format(*parts))
            link += content
            return link
    return None


def setup(app):
    app.connect("missing-reference", elsewhere)
