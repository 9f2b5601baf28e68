#!/bin/sh
# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# A contestant: what keepalived's notify_master runs when one scripts the procedure of Google's document with gcloud.
# A temporary route that wins, the original away, the original anew, the temporary away.
set -e

route() {
    gcloud compute routes create "$1" --priority="$2" --quiet \
        --network="$NETWORK" --destination-range="$DESTINATION" \
        --next-hop-instance="$INSTANCE" --next-hop-instance-zone="$ZONE"
}

route "$ROUTE-temporary" 900
gcloud compute routes delete "$ROUTE" --quiet
route "$ROUTE" 1000
gcloud compute routes delete "$ROUTE-temporary" --quiet
