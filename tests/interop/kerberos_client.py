"""Logs in with a ticket and asks under seal, with the GSS-API of MIT Kerberos. Run by test_login.py with the system's own Python, which
has the bindings. Arguments: host, port, file with the envelope to send; for TLS also the file with the certificates to trust, and whether
the login is bound to the certificate of the server ("right"), to another ("wrong") or to none. Prints what the answer says, opened.
Or: drill, host, port; then everything that must be refused is tried."""

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


def begin(host, bindings=None):
    """A login that has not begun."""
    service = gssapi.Name(f"HTTP@{host}", gssapi.NameType.hostbased_service)
    flags = gssapi.RequirementFlag
    return gssapi.SecurityContext(
        name=service, mech=SPNEGO, usage="initiate", channel_bindings=bindings,
        flags=[flags.mutual_authentication, flags.confidentiality, flags.integrity, flags.out_of_sequence_detection],
    )


def drill(host, port):
    """Tries what has to be refused."""
    kind = f'multipart/encrypted;protocol="{PROTOCOL}";boundary="Encrypted Boundary"'
    text = b"<s:Envelope xmlns:s='http://www.w3.org/2003/05/soap-envelope'/>"

    def post(connection, token=None, body=b""):
        headers = {"Content-Type": kind}
        if token is not None:
            headers["Authorization"] = f"Negotiate {base64.b64encode(token).decode()}"
        connection.request("POST", "/wsman", body=body, headers=headers)
        answer = connection.getresponse()
        answer.read()
        return answer

    def connect():
        return http.client.HTTPConnection(host, int(port))

    def logged_in():
        context, connection = begin(host), connect()
        token = context.step()
        answer = post(connection, token)
        assert answer.status == 200, answer.status
        context.step(base64.b64decode(answer.headers["WWW-Authenticate"].removeprefix("Negotiate ")))
        return context, connection, token

    token, connection = begin(host).step(), connect()
    for length in range(len(token)):
        assert post(connection, token[:length]).status == 401, length
        assert post(connection, None, text).status == 401, length
    _, _, used = logged_in()
    assert post(connect(), used).status == 401, "a token that was used"
    refused = len(token) + 1
    mine, my_connection, _ = logged_in()
    _, other_connection, _ = logged_in()
    body = sealed(mine, text)
    for where, why in ((connect(), "nobody's"), (other_connection, "another login's"), (my_connection, None), (my_connection, "again")):
        status = post(where, None, body).status
        assert status == (401 if why else 500), (why, status)
    assert post(other_connection, None, text).status == 401, "the login has ended"
    print(f"refused {refused} tokens and 4 bodies")


def main():
    if sys.argv[1] == "drill":
        drill(*sys.argv[2:])
        return
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
    context = begin(host, bindings)
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
