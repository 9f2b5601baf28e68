# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from urllib.parse import parse_qsl

import pytest

from ansible_collections.cloudha.vip.plugins.module_utils.base.errors import (
    AlreadyExists,
    CloudError,
    Denied,
    Invalid,
    Lost,
    NotFound,
    Quota,
    Stale,
    Unavailable,
)
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.session import Response, StdlibSession
from ansible_collections.cloudha.vip.plugins.module_utils.clouds.ucloudstack import UCloudStack, flatten, sign
from ansible_collections.cloudha.vip.tests.unit.plugins.module_utils.clouds.scripted import SILENT, server

API = "https://console.example/api"
PRIVATE = "private-secret"
# The vendor's manual of version 2, chapter 1.3.
MANUAL_KEYS = (
    "1UxDcqTHEGGGviQFqlt870EbLuaSJPZOB8hZ74tL",
    "tcgX3Xi_mAKpQayggnVLWzerkWB_fH1KXuk05hUrus8KSziLVyjWXwKZ80FOOldC",
)
# The tests of the vendor's ustack-sdk-go, common/auth/credential_test.go.
SDK_KEYS = ("ucloudsomeone@example.com1296235120854146120", "46f09bb9fab4f12dfc160dae12273d5332b5debe")
CREATE_UHOST = {
    "Action": "CreateUHostInstance",
    "CPU": 2,
    "Region": "cn-bj2",
    "DiskSpace": 10,
    "LoginMode": "Password",
    "ChargeType": "Month",
    "ImageId": "f43736e1-65a5-4bea-ad2e-8a46e18883c2",
    "Memory": 2048,
    "Password": "VUNsb3VkLmNu",
    "Name": "Host01",
    "Quantity": 1,
}


class Forms:
    """A session: a list of (action, the fields that are the action's own, answer), exactly in this order."""

    COMMON = {"Region": "cn", "PublicKey": "public"}

    def __init__(self, *exchanges):
        self.exchanges = list(exchanges)
        self.signatures = []

    def request(self, method, url, body=None, headers=None, timeout=10.0):
        assert (method, url) == ("POST", API)
        assert headers["Content-Type"] == "application/x-www-form-urlencoded"
        fields = dict(parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True))
        assert self.exchanges, f"nobody expected {fields}"
        action, wanted, answer = self.exchanges.pop(0)
        signature = fields.pop("Signature")
        assert signature == sign(fields, PRIVATE)
        self.signatures.append(signature)
        assert fields == {"Action": action, **self.COMMON, **wanted}
        if callable(answer):
            answer = answer(signature)
        if isinstance(answer, Exception):
            raise answer
        status, content, extra = (*answer, {})[:3] if isinstance(answer, tuple) else (200, answer, {})
        text = content if isinstance(content, str) else json.dumps(content)
        return Response(status, extra, text.encode())


def client(*exchanges, **keys):
    session = Forms(*exchanges)
    keys = {"company_id": 7, **keys}
    return UCloudStack(session, "public", PRIVATE, endpoint=API, region="cn", **keys), session


def ok(**more):
    return {"Action": "Response", "RetCode": 0, "Message": "", **more}


def refused(code, message="why"):
    return {"Action": "Response", "RetCode": code, "Message": message}


def page(*infos, total=None):
    return ok(Infos=list(infos), TotalCount=len(infos) if total is None else total)


RELEASE = ("ReleaseVIP", {"VIPID": "vip-1"})


def error_of(answer):
    made, _session = client((*RELEASE, answer))
    with pytest.raises(CloudError) as caught:
        made.release_vip("vip-1")
    return caught.value


# --- signatures, as the vendor has published them


def test_the_vector_of_the_manual():
    public, private = MANUAL_KEYS
    fields = flatten({"Action": "DescribeVMInstance", "Offset": 0, "Limit": 20, "PublicKey": public})
    assert sign(fields, private) == "2d86e5b4186ac6e42b628f258a7037c7636c9a81"


@pytest.mark.parametrize(
    ("parameters", "signature"),
    [
        (CREATE_UHOST, "ad22c1e5d9571e532a9fffa2b2422d35b14b2f1e"),
        (dict(reversed(CREATE_UHOST.items())), "ad22c1e5d9571e532a9fffa2b2422d35b14b2f1e"),
        # Twelve items: .10 comes before .2, as the keys are texts.
        (
            {"Action": "AllocateBackendBatch", "Backends": ["foo", "bar", "42"] * 4},
            "6bc32642779f8cb0bb3d3f128b1c0688abf9a1a3",
        ),
        ({**CREATE_UHOST, "SecurityToken": "some_stoken"}, "f834b40c4d0312ae837105bcacac3ea0f6be4512"),
    ],
)
def test_the_vectors_of_the_sdk(parameters, signature):
    public, private = SDK_KEYS
    assert sign(flatten({**parameters, "PublicKey": public}), private) == signature


@pytest.mark.parametrize(
    ("fields", "signature"),
    [
        ({"foo": "bar"}, "634edc1bb957c0d65e5ab5494cf3b7784fbc87af"),
        ({"foo": "bar", "PublicKey": "my_public_key"}, "d4411ab30953fb0bbcb1e7313081f05e4e91a394"),
    ],
)
def test_the_vectors_of_the_python_sdk(fields, signature):
    """In the documentation of ucloud.core.auth."""
    assert sign(fields, "my_private_key") == signature


def test_what_is_signed_is_not_escaped_and_what_is_sent_is():
    made, session = client(
        ("ModifyNameAndRemark", {"ResourceID": "vip-1", "Name": "主备", "Remark": "a b&c=d%"}, ok()),
    )
    made.modify_name_and_remark("vip-1", "主备", "a b&c=d%")
    assert not session.exchanges


def test_lists():
    assert flatten({"A": ["x", "y"], "B": [], "C": None, "D": 0, "E": ""}) == {
        "A.0": "x",
        "A.1": "y",
        "D": "0",
        "E": "",
    }


# --- what is there

LIST = {"CompanyID": "7", "Limit": "100"}


def test_all_pages_of_a_list():
    vips = [{"VIPID": f"vip-{number}", "Status": "Allocating", "AssociatedResources": []} for number in range(101)]
    made, session = client(
        ("DescribeVIP", {**LIST, "Offset": "0"}, page(*vips[:100], total=101)),
        ("DescribeVIP", {**LIST, "Offset": "100"}, page(vips[100], total=101)),
    )
    assert made.describe_vips() == vips
    assert not session.exchanges


def test_a_server_may_give_less_than_it_is_asked_for():
    made, _session = client(
        ("DescribeVMInstance", {**LIST, "Offset": "0"}, page({"VMID": "vm-1"}, total="2")),
        ("DescribeVMInstance", {**LIST, "Offset": "1"}, page({"VMID": "vm-2"}, total="2")),
    )
    assert [each["VMID"] for each in made.describe_vms()] == ["vm-1", "vm-2"]


@pytest.mark.parametrize("second", [page(total=2), page({"NICID": "nic-1"}, total=2)], ids=["shorter", "twice"])
def test_a_list_that_is_not_whole_is_none(second):
    made, _session = client(
        ("DescribeNIC", {**LIST, "Offset": "0"}, page({"NICID": "nic-1"}, total=2)),
        ("DescribeNIC", {**LIST, "Offset": "1"}, second),
    )
    with pytest.raises(Unavailable, match="there are 2, and gives 1"):
        made.describe_nics()


def test_only_the_project_that_is_set():
    made, session = client(
        ("DescribeVIP", {"Limit": "100", "Offset": "0", "ProjectIDs.0": "org-1"}, page()),
        company_id=None,
        project_id="org-1",
    )
    assert made.describe_vips() == []
    assert not session.exchanges


@pytest.mark.parametrize("vip", [{}, {"Status": "", "AssociatedResources": None}])
def test_what_the_api_may_leave_out_of_an_available_one(vip):
    made, _session = client(("DescribeVIP", {**LIST, "Offset": "0"}, page({"VIPID": "vip-1", **vip})))
    assert made.describe_vips() == [{"VIPID": "vip-1", "Status": "Available", "AssociatedResources": []}]


@pytest.mark.parametrize("key", ["Network", "Subnet"])
def test_subnets(key):
    vpc = {"VPCID": "vpc-1", "SubnetInfos": [{"SubnetID": "subnet-1", key: "10.0.0.0/24"}]}
    made, _session = client(("DescribeVPC", {**LIST, "Offset": "0", "VPCIDs.0": "vpc-1"}, page(vpc)))
    (subnet,) = made.describe_subnets("vpc-1")
    assert (subnet["SubnetID"], subnet["Network"]) == ("subnet-1", "10.0.0.0/24")


def test_no_such_vpc():
    # An older API may not know the filter.
    made, _session = client(("DescribeVPC", {**LIST, "Offset": "0", "VPCIDs.0": "vpc-1"}, page({"VPCID": "vpc-2"})))
    with pytest.raises(NotFound, match="vpc-1 in region cn"):
        made.describe_subnets("vpc-1")


# --- changes


def test_allocate_an_internal_one():
    wanted = {"Name": "web", "VIPType": "LAN", "VPCID": "vpc-1", "SubnetID": "subnet-1", "IP": "10.0.0.9"}
    made, session = client(
        ("AllocateVIP", {**wanted, "CompanyID": "7", "ProjectID": "org-1", "Quantity": "1"}, ok(VIPID="vip-1")),
        project_id="org-1",
    )
    assert made.allocate_vip(wanted) == "vip-1"
    assert not session.exchanges


def test_allocate_an_external_one():
    wanted = {
        "Name": "web",
        "VIPType": "WAN",
        "VPCID": "vpc-1",
        "SegmentID": "segment-1",
        "Bandwidth": 10,
        "ChargeType": "Month",
        "Quantity": 2,
        "Remark": None,
    }
    sent = {key: str(value) for key, value in wanted.items() if value is not None}
    made, session = client(("AllocateVIP", {**sent, "CompanyID": "7"}, ok(VIPID="vip-1")))
    assert made.allocate_vip(wanted) == "vip-1"
    assert not session.exchanges


def test_an_id_that_is_missing_is_lost():
    made, _session = client(("AllocateVIP", {"Name": "web", "CompanyID": "7", "Quantity": "1"}, ok()))
    with pytest.raises(Lost, match="names no VIPID"):
        made.allocate_vip({"Name": "web"})


@pytest.mark.parametrize(
    ("resources", "sent"),
    [(["vm-2", "vm-1"], {"AssociatedResourceIDs.0": "vm-2", "AssociatedResourceIDs.1": "vm-1"}), ([], {})],
)
def test_bind(resources, sent):
    fields = {"CompanyID": "7", "VIPID": "vip-1", "AssociatedResourceType": "VM", **sent}
    made, session = client(("UpdateVIPBindResource", fields, ok()))
    made.update_vip_bind_resource("vip-1", "VM", resources)
    assert not session.exchanges


@pytest.mark.parametrize(("vip", "remark"), [({"Remark": "kept"}, "kept"), ({}, "")])
def test_a_remark_that_is_not_given_is_sent_as_it_was(vip, remark):
    made, session = client(
        ("DescribeVIP", {**LIST, "Offset": "0", "VIPIDs.0": "vip-1"}, page({"VIPID": "vip-1", **vip})),
        ("ModifyNameAndRemark", {"ResourceID": "vip-1", "Name": "new", "Remark": remark}, ok()),
    )
    made.modify_name_and_remark("vip-1", "new", None)
    assert not session.exchanges


def test_renaming_what_is_gone():
    made, _session = client(("DescribeVIP", {**LIST, "Offset": "0", "VIPIDs.0": "vip-1"}, page({"VIPID": "vip-2"})))
    with pytest.raises(NotFound, match="no VIP vip-1"):
        made.modify_name_and_remark("vip-1", "new", None)


def test_release():
    made, session = client((*RELEASE, ok()))
    made.release_vip("vip-1")
    assert not session.exchanges


# --- refusals


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        (200, "资源不存在", NotFound),
        (202, "资源状态不正确", Stale),
        ("202", "资源状态不正确", Stale),
        (208, "绑定失败，已达到资源绑定上限", Quota),
        (8001, "指定IP地址已经被申请", AlreadyExists),
        (1004, "虚拟机不存在", NotFound),
        (109, "请求所带签名不合法，请检查签名", Denied),
        (114, "用户无此接口权限", Denied),
        (113, "请求出现错误，参数检查发现有异常", Invalid),
        (2, "服务出现异常，请联系平台管理人员处理", Unavailable),
        # What 100 and 110 mean depends on the version.
        (100, "请求出现错误，缺少refererheader", Invalid),
        (100, "当前状态不可进行操作，请稍后重试", Unavailable),
        (110, "请求的API不存在", Invalid),
        (110, "请求接口超时，请稍后重试", Lost),
        (130, "服务异常，请稍后重试", Unavailable),
        (161, "配额不足", Quota),
        (171, "登录签名验证失败", Denied),
        (99999, "Please try again later", Unavailable),
        (99999, "something new", Invalid),
    ],
)
def test_refusals_are_typed(code, message, kind):
    error = error_of(refused(code, message))
    assert error.__class__ is kind
    assert (error.code, error.resource) == (str(code), "vip-1")
    assert str(error).startswith(f"Cannot release VIP vip-1: RetCode {code}: {message}. ".rstrip())


def test_a_refusal_that_says_nothing():
    assert "RetCode 113: it does not say why." in str(error_of(refused(113, "")))


@pytest.mark.parametrize(
    ("status", "kind"), [(400, Invalid), (403, Denied), (404, Invalid), (429, Unavailable), (502, Unavailable)]
)
def test_what_stands_before_the_api_refuses(status, kind):
    error = error_of((status, "<html>\n no </html>", {"retry-after": "3"}))
    assert error.__class__ is kind
    assert (error.status, error.retry_after) == (status, 3.0)
    assert f"status {status}: <html> no </html>." in str(error)


def test_a_redirection_is_not_followed():
    error = error_of((302, "", {"location": "https://console.example/login"}))
    assert error.__class__ is Invalid
    assert "redirected to https://console.example/login, which is not followed: check the endpoint." in str(error)


@pytest.mark.parametrize(
    "content", ["<html>", "[]", "null", '{"Message": ""}', '{"RetCode": null}', '{"RetCode": "x"}']
)
def test_an_answer_that_is_not_the_apis(content):
    error = error_of((200, content))
    assert error.__class__ is Lost
    assert API in str(error)


@pytest.mark.parametrize("kind", [Lost, Unavailable, Denied])
def test_what_the_session_says(kind):
    error = error_of(kind("the connection broke"))
    assert error.__class__ is kind
    assert str(error) == "Cannot release VIP vip-1: the connection broke"


def test_no_error_shows_a_key_or_a_signature():
    """A signature is as good as the request: it has no time and no nonce."""
    made, session = client((*RELEASE, lambda signature: (500, f"debug: {signature}")))
    with pytest.raises(Unavailable) as caught:
        made.release_vip("vip-1")
    assert "debug: ***" in str(caught.value)
    made, session = client((*RELEASE, lambda signature: refused(109, f"debug: {signature}")))
    with pytest.raises(Denied) as caught:
        made.release_vip("vip-1")
    assert session.signatures[0] not in str(caught.value)
    assert PRIVATE not in str(caught.value)


def test_a_request_whose_answer_is_lost_is_not_repeated():
    """Nothing says which requests may be: a second AllocateVIP would make a second VIP."""
    released = json.dumps(ok()).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(released)}\r\n\r\n".encode()
    with server([head + released, SILENT], [head + released]) as api:
        session = StdlibSession(api.url)
        made = UCloudStack(session, "public", PRIVATE, endpoint=f"{api.url}/api", region="cn")
        made.release_vip("vip-1")
        with pytest.raises(Lost):
            made.release_vip("vip-2")
        session.close()
        assert (len(api.requests), api.connections) == (2, 1)
