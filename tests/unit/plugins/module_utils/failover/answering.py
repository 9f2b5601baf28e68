# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A client of any API that knows answers by heart."""

from __future__ import annotations


class Answering:
    """answers: by (verb, *arguments); an exception is raised. asked: the same, in order."""

    def __init__(self, answers):
        self.answers = answers
        self.asked = []

    def __getattr__(self, verb):
        def request(*arguments):
            self.asked.append((verb, *arguments))
            answer = self.answers[(verb, *arguments)]
            if isinstance(answer, Exception):
                raise answer
            return answer

        return request
