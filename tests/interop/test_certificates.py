"""Over TLS: clients that show a certificate, unmodified, and logins that are bound to the certificate of the server, also with somebody in
between who has another one."""

import datetime
import http.client
import ipaddress
import json
import os
import pathlib
import select
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import warnings
import xml.etree.ElementTree as ET

import pywbem
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pypsrp.exceptions import AuthenticationError
from pypsrp.wsman import WSMan
from requests.exceptions import ConnectionError as NoConnection

from computers import PROGRAM
from harness import PATIENCE, V2
import test_login
from test_login import ENUMERATE, PASSWORD, URI


class Authority:
    """Signs certificates and writes them with their keys to PEM files."""

    def __init__(self, place, name):
        self.place = place
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self.build(self.name, self.key, self.key, hashes.SHA256(), authority=True)
        self.file = place / f"{name}.pem"
        self.file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def build(self, name, key, signer, algorithm, authority=False, server=False):
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (
            x509.CertificateBuilder().subject_name(name).issuer_name(self.name).public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if not authority:
            usage = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if server:
            names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(signer, algorithm)

    def sign(self, name, server=False, algorithm=None, strong=False):
        """A certificate; gives the files of it and of its key."""
        key = rsa.generate_private_key(65537, 2048) if strong else ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self.build(subject, key, self.key, algorithm or hashes.SHA256(), server=server)
        files = self.place / f"{name}.cert.pem", self.place / f"{name}.key.pem"
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return files


class Secured(test_login.Logins):
    """A server with a certificate of an authority, which also vouches for clients."""

    https = True
    #: What the server's own certificate is signed with; the binding of logins depends on it.
    algorithm = hashes.SHA256()
    more = ""
    binding = "relaxed"

    def setUp(self):
        self.files = pathlib.Path(tempfile.mkdtemp(dir=os.environ["INTEROP_SCRATCH"]))
        self.addCleanup(shutil.rmtree, self.files, ignore_errors=True)
        self.authority = Authority(self.files, "authority")
        certificate, key = self.authority.sign("server", server=True, algorithm=self.algorithm)
        self.configuration += (
            f'channel_binding = "{self.binding}"\n' if "[auth]" in self.configuration
            else f'[auth]\nchannel_binding = "{self.binding}"\n'
        )
        self.configuration += f'[tls]\ncertificate = "{certificate}"\nkey = "{key}"\nclient_ca = "{self.authority.file}"\n'
        self.configuration += self.more
        super().setUp()

    def secure_client(self, auth, port=None, user="nina", **options):
        """pypsrp over TLS."""
        if auth != "certificate":
            password = PASSWORD.replace("nina", user)
            options = {"username": user, "password": password.encode() if auth == "basic" else password, **options}
        wsman = WSMan(
            "127.0.0.1", port=port or self.server.secure_port, ssl=True, auth=auth, no_proxy=True,
            cert_validation=str(self.authority.file), **options,
        )
        self.addCleanup(wsman.close)
        return wsman

    def assert_served(self, wsman):
        for _ in range(2):
            self.assertTrue(list(wsman.enumerate(URI, ET.Element(ENUMERATE))))

    def assert_refused(self, wsman):
        with self.assertRaises(AuthenticationError):
            wsman.enumerate(URI, ET.Element(ENUMERATE))

    def give(self, name, role, certificate):
        """Makes a user who has a certificate and nothing else."""
        command = [PROGRAM, "user", "add", name, "--role", role, "--certificate", str(certificate)]
        subprocess.run([*command, "--replace", "--state", str(self.server.state)], check=True)

    def command(self, *words):
        """The command line as a client of this server."""
        url = f"https://localhost:{self.server.secure_port}"
        command = [PROGRAM, *words, "--url", url, "--ca", str(self.authority.file)]
        return subprocess.run(command, capture_output=True, text=True, check=False)


class ClientCertificates(Secured):
    def wbem(self, files, credentials=None):
        connection = pywbem.WBEMConnection(
            f"https://127.0.0.1:{self.server.secure_port}", credentials, default_namespace=V2,
            ca_certs=str(self.authority.file),
            x509=files and {"cert_file": str(files[0]), "key_file": str(files[1])},
        )
        self.addCleanup(connection.close)
        return connection

    def test_pywbem_and_pypsrp_show_a_certificate(self):
        for strong in (False, True):
            name = f"carla{int(strong)}"
            files = self.authority.sign(name, strong=strong)
            self.give(name, "operator", files[0])
            self.assertTrue(self.wbem(files).EnumerateClassNames())
            shown = {"certificate_pem": str(files[0]), "certificate_key_pem": str(files[1])}
            self.assert_served(self.secure_client("certificate", **shown))
            # Somebody has to say whose it is, and the header says it before the certificate does.
            with self.assertRaises(pywbem.AuthError):
                self.wbem(files, (name, "")).EnumerateClassNames()
            self.wbem(files, ("bess", PASSWORD.replace("nina", "bess"))).EnumerateClassNames()
            self.server.remove(name)
            with self.assertRaises(pywbem.AuthError):
                self.wbem(files).EnumerateClassNames()
            self.assert_refused(self.secure_client("certificate", **shown))

    def test_a_reader_with_a_certificate_is_a_reader(self):
        files = self.authority.sign("rico")
        self.give("rico", "reader", files[0])
        service = pywbem.CIMClassName("Msvm_ImageManagementService", namespace=V2)
        with self.assertRaises(pywbem.CIMError) as raised:
            self.wbem(files).InvokeMethod("CreateVirtualHardDisk", service)
        self.assertEqual(raised.exception.status_code, pywbem.CIM_ERR_ACCESS_DENIED)

    def test_strangers_and_their_authorities_are_refused(self):
        with self.assertRaises(pywbem.AuthError):
            self.wbem(self.authority.sign("carla")).EnumerateClassNames()
        files = Authority(self.files, "another").sign("dora")
        self.give("dora", "administrator", files[0])
        with self.assertRaises(pywbem.ConnectionError):
            self.wbem(files).EnumerateClassNames()
        with self.assertRaises(NoConnection):
            shown = {"certificate_pem": str(files[0]), "certificate_key_pem": str(files[1])}
            self.secure_client("certificate", **shown).enumerate(URI, ET.Element(ENUMERATE))

    def test_the_command_line_shows_a_certificate(self):
        certificate, key = self.authority.sign("carla")
        shown = ["--cert", str(certificate), "--key", str(key)]
        for wsman in ([], ["--wsman"]):
            refused = self.command("jobs", *shown, *wsman)
            self.assertNotEqual(refused.returncode, 0)
            self.assertIn("refused", refused.stderr)
        self.give("carla", "reader", certificate)
        for wsman in ([], ["--wsman"]):
            done = self.command("jobs", "--json", *shown, *wsman)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(json.loads(done.stdout or "[]"), [])
        self.assertNotEqual(self.command("jobs").returncode, 0)


class RequiredCertificates(Secured):
    more = 'client_certificates = "required"\n'

    def test_without_a_certificate_there_is_no_connection(self):
        with self.assertRaises(NoConnection):
            self.secure_client("basic", user="bess").enumerate(URI, ET.Element(ENUMERATE))
        self.assertNotEqual(self.command("jobs").returncode, 0)
        certificate, key = self.authority.sign("carla")
        self.give("carla", "reader", certificate)
        done = self.command("jobs", "--cert", str(certificate), "--key", str(key))
        self.assertEqual(done.returncode, 0, done.stderr)


class Between:
    """Somebody in between, with a certificate that the client believes."""

    def __init__(self, files, port):
        self.port = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()[1]
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*files)
        self.passed = 0
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.relay, args=[client], daemon=True).start()

    def relay(self, client):
        trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        try:
            with self.context.wrap_socket(client, server_side=True) as near:
                with socket.create_connection(("127.0.0.1", self.port)) as way, trusting.wrap_socket(way) as far:
                    while self.copy(near, far):
                        pass
        except OSError:
            pass

    def copy(self, near, far):
        """Passes on what is there; false when one of them has ended. One thread for both: a TLS socket stands no two."""
        readable, _, _ = select.select([near, far], [], [], PATIENCE)
        for source in readable:
            source.settimeout(0)
            try:
                data = source.recv(65536)
                while source.pending():
                    data += source.recv(65536)
            except ssl.SSLWantReadError:
                continue  # A message of TLS itself, such as a ticket for the next connection.
            finally:
                source.settimeout(PATIENCE)
            self.passed += len(data)
            (far if source is near else near).sendall(data)
            if not data:
                return False
        return bool(readable)

    def stop(self):
        self.listener.close()


class Bound(Secured):
    """Logins with NTLM over TLS."""

    def between(self):
        between = Between(self.authority.sign("between", server=True), self.server.secure_port)
        self.addCleanup(between.stop)
        return between

    def test_a_login_counts_for_the_connection_it_was_made_for(self):
        for auth in ("ntlm", "negotiate"):
            self.assert_served(self.secure_client(auth))
            between = self.between()
            self.assert_refused(self.secure_client(auth, port=between.address))
            # It was not for the relay: what is bound to nothing gets through.
            unbound = self.secure_client(auth, port=between.address, negotiate_send_cbt=False)
            self.assert_served(unbound)
            self.assertGreater(between.passed, 1000)
        self.assertIn("somebody is between", (self.place / "log").read_text())


class StrictlyBound(Bound):
    """Where every login has to be bound; the certificate is signed with another hash."""

    binding = "required"
    algorithm = hashes.SHA384()

    def test_a_login_counts_for_the_connection_it_was_made_for(self):
        between = self.between()
        self.assert_served(self.secure_client("ntlm"))
        self.assert_refused(self.secure_client("ntlm", negotiate_send_cbt=False))
        self.assert_refused(self.secure_client("ntlm", port=between.address))
        self.assert_refused(self.secure_client("ntlm", port=between.address, negotiate_send_cbt=False))
        # Without TLS there is nothing to be bound to.
        self.assertTrue(list(self.client("ntlm").enumerate(URI, ET.Element(ENUMERATE))))


class Unbound(Bound):
    """Where nobody looks."""

    binding = "none"

    def test_a_login_counts_for_the_connection_it_was_made_for(self):
        self.assert_served(self.secure_client("ntlm", port=self.between().address))


class BoundTickets(Secured, test_login.Kerberos):
    """Logins with Kerberos over TLS: with the GSS-API of MIT."""

    algorithm = hashes.SHA512()

    def test_sealed_requests_with_a_ticket(self):
        self.get_ticket("nina")
        for binding, expected in (("right", 200), ("none", 200), ("wrong", 401)):
            done = self.ask_secure(binding)
            self.assertIn(str(expected), done.stdout + done.stderr, binding)
            self.assertEqual(done.returncode == 0, expected == 200, f"{binding}: {done.stderr}")

    def test_a_ticket_of_somebody_who_is_no_user(self):
        self.get_ticket("nobody")
        self.assertIn("401", self.ask_secure("right").stderr)

    def ask_secure(self, binding):
        return super().ask(self.server.secure_port, str(self.authority.file), binding)


class OldTls(Secured):
    def test_versions_that_are_broken_are_not_spoken(self):
        spoken = []
        for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = ssl.create_default_context(cafile=str(self.authority.file))
            # So that it is not this side that refuses.
            context.set_ciphers("ALL:@SECLEVEL=0")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                context.minimum_version = context.maximum_version = version
            with socket.create_connection(("127.0.0.1", self.server.secure_port), PATIENCE) as way:
                try:
                    with context.wrap_socket(way, server_hostname="localhost") as secure:
                        spoken.append(secure.version())
                except ssl.SSLError as refused:
                    self.assertRegex(str(refused).upper(), "ALERT")
        self.assertEqual(spoken, ["TLSv1.2", "TLSv1.3"])

    def test_plain_http_on_the_secure_port_is_not_served(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.secure_port, timeout=PATIENCE)
        self.addCleanup(connection.close)
        with self.assertRaises((http.client.HTTPException, OSError)):
            connection.request("GET", "/healthz")
            connection.getresponse()
