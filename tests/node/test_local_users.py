# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""keepalived answers root in /tmp, where any user of the node may be faster."""

from __future__ import annotations

import shutil
from pathlib import Path

from ansible_collections.cloudha.vip.plugins.module_utils.keepalived import conf
from ansible_collections.cloudha.vip.plugins.module_utils.node import probe, vrrp
from ansible_collections.cloudha.vip.tests.node.real_keepalived import RealKeepalived, lay_companion

CONFIGURATION = """
vrrp_instance WEB {
    interface eth0
    version 3
    virtual_router_id 66
    advert_int 0.2
    priority 254
    virtual_ipaddress {
        192.168.7.246/22 dev eth0
    }
}
"""
# What a user who wants to be believed, or to be in the way, does all the time. $1 is its own time, in seconds.
STRANGER = r"""
import contextlib, os, sys, time
names = ["/tmp/keepalived.stats", "/tmp/keepalived.data"]
lie = " VRRP Instance = LIE\n   State = MASTER\n------< Interfaces >------\n"
end, ready = time.monotonic() + float(sys.argv[1]), False
while time.monotonic() < end:
    for name in names:
        for act in [
            lambda: os.mkdir(name + "/d"),
            lambda: os.rmdir(name + "/d"),
            lambda: os.rmdir(name),
            lambda: os.unlink(name),
            lambda: os.symlink("/etc/shadow", name),
            lambda: os.unlink(name),
            lambda: os.mkfifo(name),
            lambda: os.unlink(name),
            lambda: os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY)),
            lambda: open(name, "w").write(lie),
            lambda: os.unlink(name),
            lambda: os.mkdir(name),
            lambda: os.mkdir(name + "/d"),
        ]:
            with contextlib.suppress(OSError):
                act()
    if not ready:
        ready = True
        print("here", flush=True)
"""
STATES = """
import sys
sys.path.insert(0, "/usr/local/lib/cloudha-vip")
from cloudha_vip.node import vrrp
print({name: state["state"] for name, state in vrrp.read_states(int(sys.argv[1])).items()})
"""
NODE = """
companion=/usr/local/lib/cloudha-vip/keepalived
install -D /shared/companion $companion
cp -r /shared/cloudha_vip /usr/local/lib/cloudha-vip/
mkdir -p /etc/keepalived /run/cloudha-vip
cp /shared/conf /etc/keepalived/keepalived.conf
chmod 1777 /tmp
until_true() { # COMMAND...: within 10 s
    for turn in $(seq 100); do
        if "$@" > /dev/null 2>&1; then return 0; fi
        sleep 0.1
    done
    echo "in vain: $*"
    exit 1
}
reload() { MAINPID=$(cat /run/keepalived.pid) $companion reload > /shared/said 2>&1; }
held() { ip address show dev eth0 | grep -q "inet $1/"; }

$companion clean
keepalived --dont-respawn --vrrp
until_true held 192.168.7.246
$companion loaded

setpriv --reuid=65534 --regid=65534 --clear-groups python3 /shared/stranger 40 > /shared/stranger.says &
stranger=$!
until_true grep here /shared/stranger.says
for number in 1 2 3 4 5; do
    sed -i "s,192.168.7.24[0-9]/,192.168.7.24$number/," /etc/keepalived/keepalived.conf
    if ! reload; then cat /shared/said; continue; fi
    if held 192.168.7.24$number; then echo "reload $number is done"; else echo "reload $number is said to be done"; fi
done
python3 /shared/states 5000
kill -STOP $(pidof keepalived)
python3 /shared/states 1000
sed -i s,192.168.7.24,192.168.7.23, /etc/keepalived/keepalived.conf
if reload; then echo "a reload that nobody did is said to be done"; else tail -n 1 /shared/said; fi
cmp -s /etc/keepalived/keepalived.conf /run/cloudha-vip/keepalived.conf || echo "not in force"
kill $stranger
ls -ld /tmp/keepalived.* 2> /dev/null | grep ' root ' || echo "nothing of root's is left"
"""


def test_no_user_can_pretend_that_keepalived_has_answered_nor_keep_it_from_answering(
    tmp_path_factory, tmp_path: Path
) -> None:
    for name, text in {"conf": CONFIGURATION, "stranger": STRANGER, "states": STATES}.items():
        (tmp_path / name).write_text(text)
    tmp_path.chmod(0o755)
    lay_companion(tmp_path)
    for module in (vrrp, probe, conf):
        path = Path(module.__file__)
        shutil.copy(path, tmp_path / "cloudha_vip" / path.parent.name / path.name)
    done = RealKeepalived(tmp_path_factory.mktemp("keepalived")).run(tmp_path, NODE)
    assert done.stdout.splitlines() == [
        *(f"reload {number} is done" for number in range(1, 6)),
        "{'WEB': 'MASTER'}",
        "{}",
        "keepalived did not answer within 5 s after the reload",
        "not in force",
        "nothing of root's is left",
    ], done.stderr
