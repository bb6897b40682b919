"""What to do about a certificate that was refused; the same for every server."""

from __future__ import annotations

import ssl
from typing import Final

_NOT_YET, _EXPIRED, _OTHER_HOST, _OTHER_ADDRESS = 9, 10, 62, 64
"""Of OpenSSL's reasons those that have a remedy of their own (X509_V_ERR_...)."""
_OUT_OF_TIME: Final = {_NOT_YET, _EXPIRED}
_OF_ANOTHER: Final = {_OTHER_HOST, _OTHER_ADDRESS}


def remedy(failure: ssl.SSLCertVerificationError, *, trust: str, unchecked: str) -> str:
    """A sentence. `trust` is the option of the URL that names an authority, `unchecked` the one that checks nothing."""
    if failure.verify_code in _OUT_OF_TIME:
        return "The server needs a new one (or this machine's clock is wrong)."
    if failure.verify_code in _OF_ANOTHER:
        return "Write in the URL the name that the certificate is for, or give the server one that is for this name."
    return f"Give the file of the authority that signed it as {trust} ({unchecked} checks nothing)."
