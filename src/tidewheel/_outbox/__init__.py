"""The outbox: jobs as rows of the user's own database, brought to the app's store by a relay."""

from tidewheel._outbox.outbox import Outbox

__all__ = ["Outbox"]
