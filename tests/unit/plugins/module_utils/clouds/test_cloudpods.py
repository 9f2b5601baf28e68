# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The client says what climc says, and understands what the service answers: both as recorded with a real one."""

from __future__ import annotations

import copy

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import (
    AlreadyExists,
    CloudError,
    Denied,
    Invalid,
    Lost,
    NotFound,
    Quota,
    Unavailable,
)
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.cloudpods import Cloudpods, Login
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.clouds import recorded
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.clouds.scripted import Script

KEYSTONE = "http://keystone.example"
REGION = "http://region.example"
TOKENS = f"POST {KEYSTONE}/v3/auth/tokens"
GROUP = "ffaea8da-f5af-488c-830e-30aa490e0af5"
EIP = "17451b68-cbd0-4049-84cf-0282b309bca2"
LOGIN = Login("sysadmin", "PASSWORD", domain="Default", project="system", project_domain="Default")
FORBIDDEN = {"class": "ForbiddenError", "code": 403}


def log_in():
    return TOKENS, LOGIN.body(), recorded.answer("auth", "password token, project scope")


def client(*exchanges, login=LOGIN, **keys):
    """A client that has logged in, and the session that both of its servers share."""
    session = Script(log_in(), *exchanges)
    made = Cloudpods(lambda url: session, f"{KEYSTONE}/v3", login, **keys)
    return made, session


def replay(scenario, step, path=None):
    """The exchange as it was recorded, by the client's way to write the path."""
    line, body = recorded.request(scenario, step)
    verb, recorded_path = line.split(" ", 1)
    return f"{verb} {REGION}{path or recorded_path}", body, recorded.answer(scenario, step)


# --- logging in


def test_the_login_is_climcs():
    made, session = client()
    assert made.project() == {"id": "0284539c410e4e3d825164ed5dd89a9b", "name": "system"}
    assert recorded.request("auth", "password token, project scope") == ("POST /v3/auth/tokens", LOGIN.body())
    assert "X-Auth-Token" not in session.headers[0]


def test_one_login_serves_all_requests():
    made, session = client(
        replay("group lifecycle", "show by name"), replay("group lifecycle", "show missing", "/instancegroups/absent")
    )
    assert made.get_group("web")["id"] == GROUP
    assert made.get_group("absent") is None
    assert [headers.get("X-Auth-Token") for headers in session.headers] == [None, "TOKEN", "TOKEN"]


def test_a_token_is_changed_for_one_of_the_project():
    login = Login(token="OLD", project="system", project_domain="Default")
    body = {
        "auth": {
            "identity": {"methods": ["token"], "token": {"id": "OLD"}},
            "scope": {"project": {"name": "system", "domain": {"name": "Default"}}},
        }
    }
    session = Script((TOKENS, body, recorded.answer("auth", "password token, project scope")))
    assert Cloudpods(lambda url: session, f"{KEYSTONE}/v3/", login).project()["name"] == "system"


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("wrong password", ["401 WrongPassword", "as sysadmin", "Check username, password and domain_name"]),
        ("unknown project", ["401 UnauthorizedError", "FetchProject", "project_name"]),
    ],
)
def test_a_login_that_is_refused(step, words):
    session = Script((TOKENS, LOGIN.body(), recorded.answer("auth", step)))
    with pytest.raises(Denied) as refused:
        Cloudpods(lambda url: session, f"{KEYSTONE}/v3", LOGIN).get_group("web")
    assert refused.value.status == 401
    for word in words:
        assert word in str(refused.value)
    assert "PASSWORD" not in str(refused.value)


def test_a_token_for_no_project():
    status, body, headers = copy.deepcopy(recorded.answer("auth", "password token, project scope"))
    del body["token"]["project"]
    session = Script((TOKENS, LOGIN.body(), (status, body, headers)))
    with pytest.raises(Denied, match="project_name"):
        Cloudpods(lambda url: session, f"{KEYSTONE}/v3", LOGIN).project()


def test_keystone_that_is_not_there():
    """It must not look as if the group were not there."""
    session = Script((TOKENS, LOGIN.body(), (404, "404 page not found")))
    with pytest.raises(Invalid, match="ends with /v3"):
        Cloudpods(lambda url: session, f"{KEYSTONE}/v3", LOGIN).get_group("web")


def test_a_token_that_is_no_good_any_more_is_replaced_once():
    invalid = recorded.answer("auth", "invalid token on a service call")
    line, _body, shown = replay("group lifecycle", "show by name")
    made, _session = client((line, None, shown), (line, None, invalid), log_in(), (line, None, shown))
    made.get_group("web")
    assert made.get_group("web")["name"] == "web"
    made, session = client((line, None, shown), (line, None, invalid), log_in(), (line, None, invalid))
    made.get_group("web")
    with pytest.raises(Denied, match=r"403 ForbiddenError.*no role in the project") as error:
        made.get_group("web")
    assert not session.exchanges and "token" not in str(error.value)


def test_a_change_that_is_not_allowed_is_sent_once():
    """That a privilege is lacking is told in the same words as that the token is dead. Reading tells which it is."""
    line, _body, shown = replay("group lifecycle", "show by name")
    lacking = (403, {**FORBIDDEN, "details": "isClassRbacAllowed: not enough privilege (require:project,allow:none)"})
    deletion, probe = f"DELETE {REGION}/instancegroups/web", f"GET {REGION}/instancegroups?limit=1"
    made, session = client((line, None, shown), (deletion, None, lacking), (probe, None, {"instancegroups": []}))
    made.get_group("web")
    with pytest.raises(Denied, match="no role in the project that allows it") as error:
        made.delete_group("web")
    assert not session.exchanges and "token" not in str(error.value)
    # A token that may not read either is dead: then it was not the change which was refused.
    made, session = client(
        (line, None, shown), (deletion, None, lacking), (probe, None, lacking), log_in(), (deletion, None, shown)
    )
    made.get_group("web")
    made.delete_group("web")
    assert not session.exchanges


def test_another_projects_group_has_the_name():
    told = {
        **FORBIDDEN,
        "details": "not enough privilege (require:domain,allow:project:resource:project) [tags:[allow]]",
    }
    made, _session = client((f"GET {REGION}/instancegroups/twin", None, (403, told)))
    with pytest.raises(Denied, match=r"Log in to the project .* choose another name: .* all projects together"):
        made.get_group("twin")
    taken = {"class": "DuplicateNameError", "code": 409, "details": "Duplicate name instancegroup LEAD"}
    body = {"instancegroup": {"name": "LEAD"}}
    made, _session = client((f"POST {REGION}/instancegroups", body, (409, taken)))
    with pytest.raises(AlreadyExists, match=r"409 DuplicateNameError.*Choose another name.*upper and lower case"):
        made.create_group({"name": "LEAD"})


def test_a_name_that_several_have():
    """The service calls it a fault of its own, and it would be tried again for ever."""
    told = {"class": "duplicate entry", "code": 500, "details": "fetchItem: duplicate entry"}
    made, _session = client((f"GET {REGION}/instancegroups/twin", None, (500, told)))
    with pytest.raises(Invalid, match="Several have this name: give the id"):
        made.get_group("twin")


def test_one_eip_is_shown_whole():
    """GET tells everybody whether it has auto_dellocate; with `field`, one of another project looks gone."""
    shown = {"eip": {"id": EIP, "auto_dellocate": True}}
    told = {**FORBIDDEN, "details": "not enough privilege (require:domain,allow:project:resource:project)"}
    made, _session = client(
        (f"GET {REGION}/eips/{EIP}", None, shown),
        (f"GET {REGION}/eips/theirs", None, (403, told)),
        (f"GET {REGION}/vpcs/v", None, {"vpc": {"external_access_mode": "none"}}),
    )
    assert made.get_eip(EIP)["auto_dellocate"]
    with pytest.raises(Denied):
        made.get_eip("theirs")
    assert made.get_vpc("v")["external_access_mode"] == "none"


@pytest.mark.parametrize("details", ["idp: UserNotFound", "domain Nope: UserNotFound"])
def test_a_user_that_is_not_there(details):
    """It is 404, and has nothing to do with auth_url."""
    told = {"class": "UserNotFound", "code": 404, "details": details, "time": "2026-11-28T18:56:29+08:00"}
    session = Script((TOKENS, LOGIN.body(), (404, told)))
    with pytest.raises(Denied, match="Check username and domain_name: there is no such user") as error:
        Cloudpods(lambda url: session, f"{KEYSTONE}/v3", LOGIN).get_group("web")
    assert error.value.status == 404 and error.value.code == "UserNotFound" and "auth_url" not in str(error.value)


# --- the catalog


def catalog(*endpoints, kind="compute_v2"):
    status, body, headers = copy.deepcopy(recorded.answer("auth", "password token, project scope"))
    body["token"]["catalog"] = [
        {
            "type": kind,
            "endpoints": [{"interface": i, "region_id": r, "region": r, "url": url} for i, r, url in endpoints],
        },
        {"type": "identity", "endpoints": [{"interface": "public", "region_id": "r", "url": KEYSTONE}]},
    ]
    return status, body, headers


TWO = (("public", "a", "http://pa"), ("internal", "a", "http://ia/"), ("public", "b", "http://pb"))


@pytest.mark.parametrize(
    ("answer", "keys", "url"),
    [
        (catalog(*TWO), {"region": "a"}, "http://ia"),
        (catalog(*TWO), {"region": "b", "interface": "public"}, "http://pb"),
        (catalog(*TWO[:2]), {"interface": "public"}, "http://pa"),
        (catalog(*TWO[:2], kind="compute"), {}, "http://ia"),
        (catalog(kind="other"), {"endpoint": "http://gateway/api/s/compute/"}, "http://gateway/api/s/compute"),
    ],
)
def test_the_service_is_found(answer, keys, url):
    urls = []
    session = Script((TOKENS, LOGIN.body(), answer), (f"GET {url}/instancegroups/web", None, {"instancegroup": {}}))

    def connect(to):
        urls.append(to)
        return session

    Cloudpods(connect, f"{KEYSTONE}/v3", LOGIN, **keys).get_group("web")
    assert urls == [f"{KEYSTONE}/v3", url]


@pytest.mark.parametrize(
    ("answer", "keys", "words"),
    [
        (catalog(*TWO), {}, ["several regions: a, b", "region_name"]),
        (catalog(*TWO), {"region": "c"}, ["'c'", "internal, public in a, b", "endpoint_type"]),
        (catalog(*TWO), {"region": "b"}, ["no internal endpoint", "'b'"]),
        (catalog(*TWO, kind="compute_v3"), {}, ["no service compute_v2", "compute_endpoint"]),
    ],
)
def test_the_service_is_not_found(answer, keys, words):
    session = Script((TOKENS, LOGIN.body(), answer))
    with pytest.raises(CloudError) as error:
        Cloudpods(lambda url: session, f"{KEYSTONE}/v3", LOGIN, **keys).get_group("web")
    for word in words:
        assert word in str(error.value)


# --- what is there


def test_what_a_group_has():
    made, session = client(
        replay("vip", "groupnetworks now two rows", f"/groupnetworks?group_id={GROUP}&scope=max&limit=1024"),
        replay("membership", "groupguests", f"/groupguests?group_id={GROUP}&scope=max&limit=1024"),
        replay(
            "eip",
            "EIPs of the group",
            f"/eips?associate_id={GROUP}&filter.0=associate_type.equals%28instancegroup%29&scope=max&limit=1024",
        ),
        replay("fixtures", "nics of vm4", "/servers/vm4/networks?scope=max&limit=1024"),
    )
    # The service gives the newest first.
    assert [row["ip_addr"] for row in made.list_group_networks(GROUP)] == ["192.168.1.77", "192.168.1.253"]
    assert [row["guest"] for row in made.list_group_guests(GROUP)] == ["vm2"]
    assert [row["id"] for row in made.list_group_eips(GROUP)] == [EIP]
    assert {row["network"] for row in made.list_server_networks("vm4")} == {"net1", "net2"}
    assert not session.exchanges


def test_an_answer_without_rows_has_no_total():
    made, _session = client(
        replay("group lifecycle", "groupnetworks, none", f"/groupnetworks?group_id={GROUP}&scope=max&limit=1024")
    )
    assert made.list_group_networks(GROUP) == []


def test_pages():
    first = {"groupguests": [{"guest": f"vm{n}"} for n in range(1024)], "total": 1030, "limit": 1024}
    second = {"groupguests": [{"guest": f"vm{n}"} for n in range(1024, 1030)], "total": 1030, "limit": 1024}
    url = f"GET {REGION}/groupguests?group_id=g&scope=max&limit=1024"
    made, session = client((url, None, first), (f"{url}&offset=1024", None, second))
    assert len(made.list_group_guests("g")) == 1030
    assert not session.exchanges


def test_the_lines_of_eips():
    line = f"GET {REGION}/networks?filter.0=server_type.equals%28eip%29&scope=max&limit=1024"
    made, _session = client((line, None, recorded.answer("fixtures", "networks")))
    assert [each["bgp_type"] for each in made.list_eip_networks()] == ["BGP"]


def test_who_has_an_address():
    query = "network_id=n&ip_addr=10.0.0.9&scope=max&limit=1024"
    mine = {"network_id": "n", "ip_addr": "10.0.0.9"}
    made, _session = client(
        (
            f"GET {REGION}/guestnetworks?{query}",
            None,
            {"guestnetworks": [{**mine, "guest": "vm1"}, {"network_id": "n", "ip_addr": "10.0.0.8"}], "total": 2},
        ),
        (f"GET {REGION}/groupnetworks?{query}", None, {"groupnetworks": [{**mine, "instance_group": "g"}], "total": 1}),
        (f"GET {REGION}/reservedips?{query}", None, {"reservedips": [mine], "total": 1}),
    )
    assert made.list_address_users("n", "10.0.0.9", "h-id") == ["the guest vm1", "the group g", "a reservation"]
    # Whoever asks for a group is not told of that one.
    made, _session = client(
        (f"GET {REGION}/guestnetworks?{query}", None, {"guestnetworks": []}),
        (
            f"GET {REGION}/groupnetworks?{query}",
            None,
            {
                "groupnetworks": [
                    {**mine, "instance_group": "g", "group_id": "g-id"},
                    {**mine, "instance_group": "h", "group_id": "h-id"},
                ],
                "total": 2,
            },
        ),
        (f"GET {REGION}/reservedips?{query}", None, {"reservedips": []}),
    )
    assert made.list_address_users("n", "10.0.0.9", "g-id") == ["the group h"]
    # What cannot be seen is not known.
    made, session = client(
        (
            f"GET {REGION}/guestnetworks?{query}",
            None,
            recorded.answer("empty group with a network", "bind while disabled"),
        ),
        (f"GET {REGION}/groupnetworks?{query}", None, {"groupnetworks": []}),
        (f"GET {REGION}/reservedips?{query}", None, (501, {"class": "NotImplementedError", "code": 501})),
    )
    assert made.list_address_users("n", "10.0.0.9", "g-id") == []
    assert not session.exchanges


def test_a_name_is_no_path():
    made, session = client((f"GET {REGION}/instancegroups/a%2Fb%3F", None, {"instancegroup": {}}))
    made.get_group("a/b?")
    assert not session.exchanges
    for name in ("", "/", ".."):
        with pytest.raises(Invalid):
            made.get_group(name)


# --- changes


def by_id(scenario, step, name="web"):
    path = recorded.EXCHANGES[scenario, step]["request"]["path"]
    return replay(scenario, step, path.replace(f"/{name}", f"/{GROUP}", 1))


CHANGES = [
    (
        ("group lifecycle", "create"),
        lambda c: c.create_group({"name": "web", "granularity": 1, "force_dispersion": True}),
    ),
    (("group lifecycle", "update"), lambda c: c.update_group(GROUP, {"granularity": 2})),
    (("membership", "bind vm2"), lambda c: c.bind_guests(GROUP, ["vm2"])),
    (("teardown", "unbind"), lambda c: c.unbind_guests(GROUP, ["vm2"])),
    (
        ("vip", "attach .77"),
        lambda c: c.attach_network(GROUP, {"ip_addr": "192.168.1.77", "require_designated_ip": True}),
    ),
    (("teardown", "detach"), lambda c: c.detach_network(GROUP, "192.168.1.77")),
    (
        ("eip", "create-eip"),
        lambda c: c.create_eip(GROUP, {"charge_type": "bandwidth", "bandwidth": 10, "bgp_type": "BGP"}),
    ),
    (("eip", "dissociate"), lambda c: c.dissociate_eip(GROUP, False)),
    (("eip", "dissociate and release"), lambda c: c.dissociate_eip(GROUP, True)),
    (("teardown", "delete"), lambda c: c.delete_group(GROUP)),
]


@pytest.mark.parametrize(("exchange", "change"), CHANGES)
def test_the_changes_are_climcs(exchange, change):
    made, session = client(by_id(*exchange))
    told = change(made)
    assert told is None or told["name"] == "web"
    assert not session.exchanges


def test_an_eip_is_associated_with_a_vip():
    line, body, answer = by_id("eip", "associate an existing EIP")
    body = {"instancegroup": {**body["instancegroup"], "ip_addr": "192.168.1.77"}}
    made, _session = client((line, body, answer))
    assert made.associate_eip(GROUP, EIP, "192.168.1.77")["status"] == "associate_eip"


def test_guests_are_numbered():
    """A list is refused (trap: MissingParameterError guest.0)."""
    refused = recorded.answer("membership", "bind with a JSON list is refused")
    assert "guest.0" in refused[1]["details"]
    line, _body, answer = by_id("membership", "bind vm2")
    made, session = client((line, {"instancegroup": {"guest.0": "a", "guest.1": "b"}}, answer))
    made.bind_guests(GROUP, ["a", "b"])
    assert not session.exchanges


# --- errors

ERRORS = [
    ("group lifecycle", "create again, same name", AlreadyExists, ["409 DuplicateNameError", "web"]),
    ("membership", "bind unknown guest", Invalid, ["400 InputParameterError", "no such model vm9"]),
    ("vip", "attach, address outside the network", Invalid, ["ip_addr 10.0.0.1 not in range"]),
    ("vip", "attach, address of a guest", AlreadyExists, ["candidate ip 192.168.1.12 is occupied"]),
    ("vip", "attach unknown network", NotFound, ["network nope not found"]),
    ("vip", "bind a guest with two NICs", Invalid, ["406 NotSupportedError"]),
    ("eip", "dissociate when none", Invalid, ["No eip to dissociate"]),
    ("eip", "create-eip, unknown line type", NotFound, ["no usable eip network"]),
    ("eip", "associate an unknown EIP", NotFound, ["eip zzz not found"]),
    ("eip", "associate the same EIP again", AlreadyExists, ["eip has been associated"]),
    ("eip", "detach the VIP while the EIP is bound", Invalid, ["cannot detach network with eip"]),
    ("eip", "delete the group while the EIP is bound", Invalid, ["406 NotEmptyError", "203.0.113.13"]),
    ("teardown", "delete with members", Invalid, ["406 UnsupportOperationError"]),
    (
        "empty group with a network",
        "create-eip with neither VIP nor members: server fault",
        Unavailable,
        ["500 InternalServerError", "nil pointer", "Try again later"],
    ),
    ("empty group with a network", "bind while disabled", Denied, ["403 ForbiddenError"]),
]


@pytest.mark.parametrize(("scenario", "step", "kind", "words"), ERRORS)
def test_what_the_service_refuses(scenario, step, kind, words):
    made, _session = client((f"DELETE {REGION}/instancegroups/web", None, recorded.answer(scenario, step)))
    with pytest.raises(CloudError) as error:
        made.delete_group("web")
    assert error.value.__class__ is kind and error.value.status == recorded.answer(scenario, step)[0]
    assert error.value.code == recorded.answer(scenario, step)[1]["class"] and error.value.resource == "web"
    for word in ["Cannot delete group web: ", *words]:
        assert word in str(error.value)


def test_an_error_may_be_wrapped_and_is_not_a_redirect():
    status, body, headers = recorded.answer("eip", "dissociate when none")
    assert headers["location"] == "No eip to dissociate"
    line = f"DELETE {REGION}/instancegroups/web"
    made, _session = client(
        (line, None, (status, {"error": body}, headers)), (line, None, (302, "", {"location": "x"}))
    )
    with pytest.raises(Invalid, match="400 InvalidStatusError: No eip to dissociate"):
        made.delete_group("web")
    with pytest.raises(Invalid, match="redirected to x, which is not followed"):
        made.delete_group("web")


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        ((403, {"class": "OutOfQuotaError", "code": 403, "details": "eip"}), Quota, "Raise the quota"),
        ((429, {"class": "TooManyRequestsError", "code": 429}, {"retry-after": "3"}), Unavailable, "429"),
        ((502, "<html>bad gateway</html>"), Unavailable, "bad gateway"),
        ((200, "<html>welcome</html>"), Lost, "Check that the URLs are right"),
        (Lost("gone"), Lost, "Cannot delete group web: gone"),
    ],
)
def test_other_errors(answer, kind, words):
    made, _session = client((f"DELETE {REGION}/instancegroups/web", None, answer))
    with pytest.raises(kind, match=words) as error:
        made.delete_group("web")
    assert error.value.retry_after == (3.0 if "429" in words else None)


def test_secrets_stay_secret():
    told = {"class": "ForbiddenError", "code": 403, "details": "PASSWORD and TOKEN"}
    made, _session = client((f"DELETE {REGION}/instancegroups/web", None, (403, told)))
    with pytest.raises(Denied) as error:
        made.delete_group("web")
    assert "*** and ***" in str(error.value)
