"""Logs in with a ticket and asks under seal, with the GSS-API of MIT Kerberos. Run by test_login.py with the system's own Python, which
has the bindings. Arguments: host, port, file with the envelope to send; for TLS also the file with the certificates to trust, and whether
the login is bound to the certificate of the server ("right"), to another ("wrong") or to none. Prints what the answer says, opened."""

import base64
import hashlib
import http.client
import ssl
import sys

import gssapi
from gssapi.raw import ChannelBindings, IOV, IOVBufferType, unwrap_iov, wrap_iov

SPNEGO = gssapi.OID.from_int_seq("1.3.6.1.5.5.2")
PROTOCOL = "application/HTTP-SPNEGO-session-encrypted"
BOUNDARY = b"--Encrypted Boundary"


def sealed(context, text):
    """The text as the body of a sealed request."""
    message = IOV(IOVBufferType.header, text, IOVBufferType.padding, std_layout=False)
    wrap_iov(context, message, confidential=True)
    header, data = message[0].value, message[1].value + (message[2].value or b"")
    head = [
        BOUNDARY, b"\tContent-Type: " + PROTOCOL.encode(),
        b"\tOriginalContent: type=application/soap+xml;charset=UTF-8;Length=%d" % len(text),
        BOUNDARY, b"\tContent-Type: application/octet-stream", b"",
    ]
    return b"\r\n".join(head) + len(header).to_bytes(4, "little") + header + data + BOUNDARY + b"--\r\n"


def opened(context, body):
    """What a sealed answer holds."""
    data = body.split(b"application/octet-stream\r\n", 1)[1].rsplit(BOUNDARY, 1)[0]
    length = int.from_bytes(data[:4], "little")
    header, data = data[4 : 4 + length], data[4 + length :]
    message = IOV((IOVBufferType.header, False, header), data, IOVBufferType.data, std_layout=False)
    unwrap_iov(context, message)
    return message[1].value


def main():
    host, port, file, *secure = sys.argv[1:]
    connection = http.client.HTTPConnection(host, int(port))
    bindings = None
    if secure:
        trusted = ssl.create_default_context(cafile=secure[0])
        connection = http.client.HTTPSConnection(host, int(port), context=trusted)
        connection.connect()
        certificate = connection.sock.getpeercert(True)
        # The hash is the one that the certificate is signed with: the test has one with SHA-512.
        seen = hashlib.sha512(certificate if secure[1] == "right" else b"another").digest()
        if secure[1] != "none":
            bindings = ChannelBindings(application_data=b"tls-server-end-point:" + seen)
    service = gssapi.Name(f"HTTP@{host}", gssapi.NameType.hostbased_service)
    flags = gssapi.RequirementFlag
    context = gssapi.SecurityContext(
        name=service, mech=SPNEGO, usage="initiate",
        channel_bindings=bindings,
        flags=[flags.mutual_authentication, flags.confidentiality, flags.integrity, flags.out_of_sequence_detection],
    )
    token = base64.b64encode(context.step()).decode()
    connection.request("POST", "/wsman", body=b"", headers={"Authorization": f"Negotiate {token}"})
    answer = connection.getresponse()
    assert answer.status == 200 and answer.read() == b"", answer.status
    # The server has proven who it is as well.
    context.step(base64.b64decode(answer.headers["WWW-Authenticate"].removeprefix("Negotiate ")))
    assert context.complete
    text = open(file, "rb").read()
    content_type = f'multipart/encrypted;protocol="{PROTOCOL}";boundary="Encrypted Boundary"'
    for _ in range(3):
        connection.request("POST", "/wsman", body=sealed(context, text), headers={"Content-Type": content_type})
        answer = connection.getresponse()
        body = answer.read()
        assert answer.headers["Content-Type"].startswith("multipart/encrypted"), answer.headers["Content-Type"]
        clear = opened(context, body)
    print(answer.status, clear.decode())


main()
