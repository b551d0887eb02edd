"""The language of call flows: what `etc/dialplan/*.yaml` may say, and the machine that runs it.

    tree        YAML to nodes that know line and column          problem     what is wrong, and where
    values      what variables hold                              pattern     regular expressions of bounded cost
    expr        expressions      template   texts with ${…}      functions   what expressions may call
    hours       schedules, overrides                             command     what the machine asks of the world
    flow        parts, steps, verbs, branches                    verbs/      one file each
    kinds       what may stand behind a key    spec   the keys of a dataclass
    reading     nodes to steps                 load   files to flows         folder   files from the disk
    graph, names, check    what makes no sense, before a flow goes live
    machine, state         the interpreter, and all it remembers as JSON
    simulate, testing      calls without phones                  schema, manual, diagram, picture   the language shown

It knows nothing of SIP and sound, and holds no socket and no clock: `now` comes in with every step.
"""
