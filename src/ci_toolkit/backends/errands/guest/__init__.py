"""Programs that are sent into the sandbox as text; nothing on the host imports them.

Which Python the shell of a sandbox finds is not known: they are written for 3.9 and later.
"""
