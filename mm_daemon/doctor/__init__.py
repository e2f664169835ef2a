"""`mm-daemon doctor`: everything that can keep the daemon from trading, looked at before it matters.

`checks` runs checks side by side, `machine` looks at this computer, `network` at the way to the venue, `account` at our
account there, `markets` at what is to be quoted, `verdict` prints. Nothing is changed at the venue, with one exception:
reads of our own account need an API key, which is derived, or made where there is none yet.
"""

from mm_daemon.doctor.examination import run_doctor

__all__ = ["run_doctor"]
