# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs before Debian's resource agent: where the lab's API is, which it has no option for, and a token for it.

The nodes of the lab have no more permissions than our agent needs, and this one needs others.
"""

import os

from google.oauth2.credentials import Credentials
from googleapiclient import discovery  # the agent imports it as well

_build = discovery.build


def _build_for_the_lab(*args, **more):
    more["credentials"] = Credentials(os.environ["BENCH_TOKEN"])
    return _build(*args, client_options={"api_endpoint": os.environ["BENCH_ENDPOINT"]}, **more)


discovery.build = _build_for_the_lab
