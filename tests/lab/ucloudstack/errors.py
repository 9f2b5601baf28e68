# Copyright (c) 2026, the cloudha.vip contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API answers when it does not do what it was asked: the numbers of the vendor's list for version 2."""

from __future__ import annotations

from typing import Any

from lab.emulation.emulator import Refused

SENTENCES = {
    3: "必填参数为空",
    4: "参数格式不正确",
    101: "请求出现错误，缺少action",
    102: "请求出现错误，缺少地域参数",
    103: "请求出现错误，缺少用户认证参数",
    104: "请求出现错误，缺少签名，请确认是否已使用正确私钥",
    109: "请求所带签名不合法，请检查签名",
    110: "请求的API不存在",
    113: "请求出现错误，参数检查发现有异常，请确认调用请求的参数是否合法",
    114: "用户无此接口权限",
    200: "资源不存在",
    202: "资源状态不正确",
    208: "绑定失败，已达到资源绑定上限",
    1004: "虚拟机不存在",
    3000: "VPC不存在",
    3003: "子网不存在",
    3011: "子网可用数量不足",
    8000: "带宽规格不在有效范围内",
    8001: "指定IP地址已经被申请",
    8004: "IP资源不足",
    8006: "指定IP不在网段范围内，请重新输入",
    12000: "平台无此地域",
    27001: "租户不存在",
}


class ApiError(Refused):
    """A RetCode, and what it says: the vendor's sentence, and after it in our own words what it is about."""

    status = 200

    def __init__(self, code: int, about: str = "", message: str | None = None) -> None:
        if message is None:
            message = f"{SENTENCES[code]}: {about}" if about else SENTENCES[code]
        super().__init__(message)
        self.code = code
        self.action = ""

    @property
    def body(self) -> dict[str, Any]:
        """The answer's JSON."""
        return {"Action": f"{self.action}Response", "RetCode": self.code, "Message": str(self)}


class HttpError(Refused):
    """What stands before the API refuses: an HTTP status, and no JSON."""

    def __init__(self, status: int, retry_after: int | None = None) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self._retry_after = retry_after

    @property
    def body(self) -> dict[str, Any]:
        """Nothing: see `lab.ucloudstack.server`."""
        return {}

    @property
    def headers(self) -> dict[str, str]:
        """When to come again."""
        return {} if self._retry_after is None else {"Retry-After": str(self._retry_after)}
