"""Turns: one run of an agent at a time on a session, across tasks, threads, processes and machines.

A turn is a lease in the database. A thread of this process renews it while it
is held; if the process dies, the lease ends some seconds later. The session's
revision protects what is written: a holder that lost its turn without noticing
cannot overwrite what was stored after that.
"""
