"""Programs for a place that has a shell and takes files, and no other way in.

What backends need for which a sandbox is somebody else's: all file work, with every promise of the
seam, and commands with their streams apart, in single `python3` processes that leave nothing
behind. A backend gives a `Carrier`, and gets `Files` and the answers of runs.
"""
