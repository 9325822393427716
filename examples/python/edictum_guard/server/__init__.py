"""edictum-api from Python: the parts that `Edictum.from_server()` is made of, each of use alone.

| name | purpose |
|---|---|
| `EdictumServerClient` | requests with credential, retries and the TLS rule |
| `ServerAuditSink` | sends the decision log |
| `ServerBackend` | counters and workflow state of sessions |
| `ServerApprovalBackend` | asks people |
| `ServerContractSource` | rulesets as they change |
| `verify_bundle_signature` | Ed25519 over a ruleset's bytes |

What requests look like, when they are repeated, and what answers mean is in the component.
"""

from __future__ import annotations

from .approvals import ServerApprovalBackend
from .client import EdictumServerClient
from .connection import ServerConnection
from .errors import BundleVerificationError, EdictumServerError
from .log import ServerAuditSink
from .sessions import ServerBackend
from .source import ServerContractSource
from .verification import verify_bundle_signature

__all__ = [
    "BundleVerificationError",
    "EdictumServerClient",
    "EdictumServerError",
    "ServerApprovalBackend",
    "ServerAuditSink",
    "ServerBackend",
    "ServerConnection",
    "ServerContractSource",
    "verify_bundle_signature",
]
