"""A plugin of pytest that keeps pywbem's own suite on the loopback interface of a Linux machine.

One of its tests lets a listener of pywbem listen on the empty host name, which the C library of Linux does not resolve, and asks
the way to a server on the Internet under which address the machine can be reached. Here the one means loopback, and so does the
other. Neither the suite nor pywbem is changed.
"""

import socket

LOOPBACK = "127.0.0.1"
_getaddrinfo = socket.getaddrinfo
_connect = socket.socket.connect


def getaddrinfo(host, *arguments, **named):
    """As that of the standard library, but the empty name is this machine."""
    return _getaddrinfo(LOOPBACK if host == "" else host, *arguments, **named)


def connect(self, address):
    """As that of the standard library, but no datagram leaves the machine."""
    if self.type == socket.SOCK_DGRAM and self.family == socket.AF_INET:
        address = (LOOPBACK, address[1])
    return _connect(self, address)


socket.getaddrinfo = getaddrinfo
socket.socket.connect = connect
