"""Where calls meet the dialplan: flows are loaded, kept and run on live calls.

sounds     what a flow wants to be heard, as lines
take       one recording of a caller
web        HTTP exchanges of flows, and where they may go
callees    whom a flow may call, as targets
act        one call in its flow
book       the flows that are live, and what is wrong with the others
repertoire those of one account: read, checked, uploaded, rolled back
versions   every version that was live, in the store
hours      schedules that somebody overrode by hand
service    all of it together, as the house knows it: whose call runs what
"""

from pbxd.flows.act import FlowAct
from pbxd.flows.book import Book, Report
from pbxd.flows.desk import Desk, Visitor
from pbxd.flows.repertoire import Repertoire
from pbxd.flows.service import Flows, measure
from pbxd.flows.versions import Version

__all__ = ["Book", "Desk", "FlowAct", "Flows", "Repertoire", "Report", "Version", "Visitor", "measure"]
