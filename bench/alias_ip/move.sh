#!/bin/sh
# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# A contestant: the two commands of gcloud with which one moves an alias range by hand. Each gives an interface its whole
# list of ranges.
set -e

gcloud compute instances network-interfaces update "$OLD" --zone="$OLD_ZONE" --aliases="" --quiet
gcloud compute instances network-interfaces update "$NEW" --zone="$NEW_ZONE" --aliases="$RANGE_NAME:$RANGE" --quiet
