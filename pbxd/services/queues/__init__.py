"""Queues: callers wait, operators answer, nobody is lost.

table       the state machines, in one place          model       their values
strategy    whom a caller is offered to               statistics  what is counted
roster      the operators of an account               machine     the queues of an account, pure
plain       its state as plain data                   archive     where that is written down
line        one caller on a live call                 remote      one caller whose call is at a node
waiter      what both are to the service              elsewhere   what nodes say of operators
service     the machines of the house, driven         sign_in     the phone code of operators
wallboard   what there is to see
"""

from pbxd.services.queues.line import QueueLine, Wishes
from pbxd.services.queues.model import Exit, QueueRules, Strategy
from pbxd.services.queues.remote import RemoteLine
from pbxd.services.queues.service import Queues
from pbxd.services.queues.sign_in import SignIn
from pbxd.services.queues.table import Control
from pbxd.services.queues.wallboard import CallerView, OperatorView, QueueNews, QueueView

__all__ = [
    "CallerView",
    "Control",
    "Exit",
    "OperatorView",
    "QueueLine",
    "QueueNews",
    "QueueRules",
    "QueueView",
    "Queues",
    "RemoteLine",
    "SignIn",
    "Strategy",
    "Wishes",
]
