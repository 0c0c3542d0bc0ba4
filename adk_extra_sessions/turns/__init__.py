"""One run at a time on a session: taking turns, across tasks, threads, processes and machines.

A turn is a lease in the database: renewed by a thread of this process while it
is held, and over some seconds after the process has died. The session's
revision guards what is written: whoever lost a turn without noticing cannot
write over what came after.
"""
