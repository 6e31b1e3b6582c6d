"""The built-in harness: an HTTP server inside a sandbox that runs what it is told.

Standard library only, Python 3.9 or later, nothing of the other packages: it must start on
whatever Python the sandbox's image happens to have. The protocol is opencode's.
"""
