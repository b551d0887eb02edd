"""The providers that are built in, each as its documentation says: Phaxio v2.1, the Sinch Fax API v3, the fax part of
SignalWire's Compatibility API, and FreeSWITCH by mod_xml_rpc."""

from __future__ import annotations

from typing import Any

from pbxd.services.faxes.manifest import Manifest

PHAXIO = "phaxio"
SINCH = "sinch"
SIGNALWIRE = "signalwire"
FREESWITCH = "freeswitch"

_PHAXIO_ANSWER = {
    "job_id": "data.id",
    "status": "data.status",
    "error": "data.error_message",
    "pages": "data.num_pages",
}
_SINCH_ANSWER = {"job_id": "id", "status": "status", "error": "errorMessage", "pages": "numberOfPages"}
_SIGNALWIRE_ANSWER = {"job_id": "sid", "status": "status", "error": "error_message", "pages": "num_pages"}
_SINCH_FAXES = "{{base_url}}/v3/projects/{{settings.project_id}}/faxes"
_SIGNALWIRE_FAXES = "{{base_url}}/api/laml/2010-04-01/Accounts/{{creds.key}}/Faxes"

_ALL: tuple[dict[str, Any], ...] = (
    {
        "id": PHAXIO,
        "name": "Phaxio",
        "auth": {"scheme": "basic"},
        "base_url": "https://api.phaxio.com",
        "allowed_domains": ["phaxio.com"],
        "actions": {
            "send_fax": {
                "url": "{{base_url}}/v2.1/faxes",
                "body": {
                    "kind": "multipart",
                    "template": {
                        "to": "{{to}}",
                        "file": "{{file_path}}",
                        "caller_id": "{{from}}",
                        "header_text": "{{header}}",
                        "callback_url": "{{callback_url}}",
                    },
                },
                "response": {"job_id": "data.id", "error": "message"},
            },
            "get_status": {"method": "GET", "url": "{{base_url}}/v2.1/faxes/{{job_id}}", "response": _PHAXIO_ANSWER},
            "cancel_fax": {"url": "{{base_url}}/v2.1/faxes/{{job_id}}/cancel"},
            "get_file": {"method": "GET", "url": "{{base_url}}/v2.1/faxes/{{job_id}}/file"},
            "check": {"method": "GET", "url": "{{base_url}}/v2.1/account/status"},
        },
    },
    {
        "id": SINCH,
        "name": "Sinch Fax",
        "auth": {"scheme": "basic"},
        "base_url": "https://fax.api.sinch.com",
        "allowed_domains": ["sinch.com"],
        "refresh": False,  # the contract's page says so; the house asks by itself
        "actions": {
            "send_fax": {
                "url": _SINCH_FAXES,
                "body": {
                    "kind": "multipart",
                    "template": {
                        "to": "{{to}}",
                        "file": "{{file_path}}",
                        "from": "{{from}}",
                        "headerText": "{{header}}",
                    },
                },
                "response": _SINCH_ANSWER,
            },
            "get_status": {"method": "GET", "url": _SINCH_FAXES + "/{{job_id}}", "response": _SINCH_ANSWER},
            "get_file": {"method": "GET", "url": _SINCH_FAXES + "/{{job_id}}/file.pdf"},
            "check": {"method": "GET", "url": _SINCH_FAXES + "?pageSize=1"},
        },
    },
    {
        "id": SIGNALWIRE,
        "name": "SignalWire",
        "auth": {"scheme": "basic"},
        "base_url": "https://{{settings.space}}",
        "allowed_domains": ["signalwire.com"],
        "actions": {
            "send_fax": {
                "url": _SIGNALWIRE_FAXES + ".json",
                "body": {
                    "kind": "form",
                    "template": {
                        "To": "{{to}}",
                        "From": "{{from}}",
                        "MediaUrl": "{{file_url}}",
                        "StatusCallback": "{{callback_url}}",
                    },
                },
                "response": _SIGNALWIRE_ANSWER,
            },
            "get_status": {
                "method": "GET",
                "url": _SIGNALWIRE_FAXES + "/{{job_id}}.json",
                "response": _SIGNALWIRE_ANSWER,
            },
            "cancel_fax": {
                "url": _SIGNALWIRE_FAXES + "/{{job_id}}.json",
                "body": {"kind": "form", "template": {"Status": "canceled"}},
            },
            "check": {"method": "GET", "url": _SIGNALWIRE_FAXES + ".json?PageSize=1"},
        },
    },
    {
        "id": FREESWITCH,
        "name": "FreeSWITCH",
        "auth": {"scheme": "basic"},
        "base_url": "",  # where it is, the settings say
        "allowed_domains": ["localhost"],
        "tiff": True,
        "actions": {
            "send_fax": {
                "method": "GET",
                "url": "{{base_url}}/webapi/bgapi?originate%20%7Bpbxd_job_id%3D{{fax_id}}%2Cfax_ident%3D%27{{from}}%27"
                "%2Cignore_early_media%3Dtrue%2Cfax_enable_t38%3Dtrue%2Cfax_enable_t38_request%3Dtrue%7D"
                "sofia%2Fgateway%2F{{settings.gateway}}%2F{{to}}%20%26txfax({{file_path}})",
                "response": {"job_id": "last", "status": "first", "error": "text", "status_map": {"-ERR": "failed"}},
            },
            "check": {"method": "GET", "url": "{{base_url}}/webapi/status"},
        },
    },
)
BUILT_IN = {one["id"]: Manifest.model_validate(one) for one in _ALL}
