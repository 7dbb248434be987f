"""WS-Management through pypsrp's WSMan class: what the tests need beside it to speak of CIM."""

import urllib.parse
import warnings
import xml.etree.ElementTree as ET

from pypsrp.exceptions import WSManFaultError
from pypsrp.wsman import NAMESPACES, SelectorSet, WSMan

from harness import ENDED, HTTP, os, parse_instance, wait_until

WMI = "http://schemas.microsoft.com/wbem/wsman/1/wmi/"
DMTF = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/"
WQL = "http://schemas.microsoft.com/wbem/wsman/1/WQL"
XPATH = "http://www.w3.org/TR/1999/REC-xpath-19991116"
XSI = "{http://www.w3.org/2001/XMLSchema-instance}"
ANONYMOUS = "http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous"
S, A, W, N, E = (f"{{{NAMESPACES[p]}}}" for p in ("s", "wsa", "wsman", "wsen", "wse"))
EVENTING = NAMESPACES["wse"]
PULL = "http://schemas.dmtf.org/wbem/wsman/1/wsman/Pull"
PUSH = f"{EVENTING}/DeliveryModes/Push"


def connect(user="ada", url=HTTP, password=None):
    """pypsrp's WSMan as this user, over plain HTTP on loopback."""
    address = urllib.parse.urlsplit(url)
    password = (password or os.environ[f"INTEROP_PASSWORD_{user.upper()}"]).encode()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return WSMan(
            address.hostname, port=address.port, ssl=False, auth="basic", username=user.encode(), password=password,
            encryption="never", no_proxy=True,
        )


def local(element):
    """The name of an element without its namespace."""
    return element.tag.rsplit("}", 1)[-1]


def properties(element):
    """The children of a class element: text, None, list, or the element itself where it has children."""
    found = {}
    for child in element:
        if child.get(f"{XSI}nil") == "true":
            value = None
        elif len(child):
            value = child
        else:
            value = child.text or ""
        name = local(child)
        if name in found:
            before = found[name]
            found[name] = (before if isinstance(before, list) else [before]) + [value]
        else:
            found[name] = value
    return found


def selectors(epr):
    """The selectors of an endpoint reference."""
    return {s.get("Name"): s.text for s in epr.iter(f"{W}Selector")}


class Remote:
    """A namespace as a client of WS-Management sees it. `family` is how resource URIs are written."""

    def __init__(self, wsman, namespace, family="wmi"):
        self.wsman = wsman
        self.namespace = namespace
        self.family = family

    def uri(self, name):
        """The resource URI of a class, or of all."""
        return f"{WMI}{self.namespace}/{name}" if self.family == "wmi" else f"{DMTF}{name}"

    def selector_set(self, keys):
        """The selectors for these keys, with the namespace where the URI does not have it."""
        found = SelectorSet()
        if self.family != "wmi":
            found.add_option("__cimnamespace", self.namespace)
        for name, value in (keys or {}).items():
            if name != "__cimnamespace":
                found.add_option(name, value)
        return found if found.values else None

    def get(self, name, keys):
        """Get; the properties."""
        body = self.wsman.get(self.uri(name), selector_set=self.selector_set(keys))
        return properties(body[0])

    def put(self, name, keys, **values):
        """Put of some properties; all of them as they are afterwards."""
        uri = self.uri(name)
        instance = ET.Element(f"{{{uri}}}{name}")
        for key, value in values.items():
            ET.SubElement(instance, f"{{{uri}}}{key}").text = value
        return properties(self.wsman.put(uri, resource=instance, selector_set=self.selector_set(keys))[0])

    def enumerate(self, name="*", query=None, mode=None, optimize=False, most=None, dialect=WQL):
        """Enumerate and Pull to the end; the items."""
        resource = ET.Element(f"{N}Enumerate")
        if optimize:
            ET.SubElement(resource, f"{W}OptimizeEnumeration")
            ET.SubElement(resource, f"{W}MaxElements").text = str(most or 1)
        if query:
            ET.SubElement(resource, f"{W}Filter", {"Dialect": dialect}).text = query
        if mode:
            ET.SubElement(resource, f"{W}EnumerationMode").text = mode
        uri, keys = self.uri(name), self.selector_set(None)
        answer = self.wsman.enumerate(uri, resource=resource, selector_set=keys)[0]
        items = list(answer.find(f"{W}Items") or [])
        context = answer.findtext(f"{N}EnumerationContext")
        while context:
            resource = ET.Element(f"{N}Pull")
            ET.SubElement(resource, f"{N}EnumerationContext").text = context
            if most:
                ET.SubElement(resource, f"{N}MaxElements").text = str(most)
            answer = self.wsman.pull(uri, resource=resource, selector_set=keys)[0]
            items += list(answer.find(f"{N}Items"))
            context = answer.findtext(f"{N}EnumerationContext")
            assert (context is None) == (answer.find(f"{N}EndOfSequence") is not None)
        return items

    def invoke(self, name, keys, method, **parameters):
        """Calls a method; gives the return value and the output parameters."""
        uri = self.uri(name)
        resource = ET.Element(f"{{{uri}}}{method}_INPUT")
        for key, value in parameters.items():
            for one in value if isinstance(value, list) else [value]:
                element = ET.SubElement(resource, f"{{{uri}}}{key}")
                if isinstance(one, ET.Element):
                    element.extend(one)
                else:
                    element.text = one
        answer = self.wsman.invoke(f"{uri}/{method}", uri, resource, selector_set=self.selector_set(keys))
        output = answer.find(f"{S}Body")[0]
        assert local(output) == f"{method}_OUTPUT"
        found = properties(output)
        return int(found.pop("ReturnValue")), found

    def subscribe(self, query, url=None):
        """Subscribes to the events of a query: they are sent to the URL, or are fetched if there is none."""
        body = ET.Element(f"{E}Subscribe")
        delivery = ET.SubElement(body, f"{E}Delivery", {"Mode": PUSH if url else PULL})
        if url:
            ET.SubElement(ET.SubElement(delivery, f"{E}NotifyTo"), f"{A}Address").text = url
        ET.SubElement(body, f"{E}Expires").text = "PT10M"
        ET.SubElement(body, f"{W}Filter", {"Dialect": WQL}).text = query
        answer = self.eventing("Subscribe", body)[0]
        return Subscription(self, answer.findtext(f".//{E}Identifier"), answer.findtext(f"{N}EnumerationContext"))

    def eventing(self, action, body=None, identifier=None):
        """One request of WS-Eventing by a `Subscriber`; the body of its answer."""
        self.wsman.identifier = identifier
        try:
            resource = ET.Element(f"{E}{action}") if body is None else body
            keys = self.selector_set(None)
            answer = self.wsman.invoke(f"{EVENTING}/{action}", self.uri("*"), resource, selector_set=keys)
        finally:
            self.wsman.identifier = None
        return answer.find(f"{S}Body")

    def start(self, name, keys, method, **parameters):
        """Calls a method that has to start a job, and gives the job."""
        value, output = self.invoke(name, keys, method, **parameters)
        assert value == 4096, f"{method} returned {value}"
        job = next(e for e in output.values() if isinstance(e, ET.Element))
        return RemoteJob(self, job)


class Subscription:
    """Events of a namespace: fetched, or sent to a sink."""

    def __init__(self, remote, identifier, context):
        self.remote = remote
        self.identifier = identifier
        self.context = context

    def fetch(self):
        """Waits a while for events; gives those that there are."""
        body = ET.Element(f"{N}Pull")
        ET.SubElement(body, f"{N}EnumerationContext").text = self.context
        ET.SubElement(body, f"{N}MaxTime").text = "PT1S"
        ET.SubElement(body, f"{N}MaxElements").text = "100"
        keys = self.remote.selector_set(None)
        try:
            answer = self.remote.wsman.pull(self.remote.uri("*"), resource=body, selector_set=keys)[0]
        except WSManFaultError as raised:
            assert "TimedOut" in str(raised), raised
            return []
        self.context = answer.findtext(f"{N}EnumerationContext")
        return list(answer.find(f"{N}Items"))

    def end(self):
        """Unsubscribes."""
        self.remote.eventing("Unsubscribe", identifier=self.identifier)


def life(events, job_id):
    """What events tell about a job: their classes and its states."""
    found = []
    for event in events:
        source = properties(event)["SourceInstance"]
        job = properties(source)
        if job["InstanceID"] == job_id:
            found.append((local(event), int(job["JobState"])))
    return found


class RemoteJob:
    """A job, named by the endpoint reference that its method gave."""

    def __init__(self, remote, epr):
        self.remote = remote
        self.epr = epr
        self.keys = selectors(epr)
        self.name = epr.find(f".//{W}ResourceURI").text.rsplit("/", 1)[-1]

    def get(self):
        return self.remote.get(self.name, self.keys)

    def invoke(self, method, **parameters):
        return self.remote.invoke(self.name, self.keys, method, **parameters)

    def wait(self):
        """Waits until the job has ended, and gives it."""
        wait_until(lambda: int(self.get()["JobState"]) in ENDED, f"the end of {self.keys}")
        return self.get()

    def error(self):
        """What GetError answers, whichever form it has: a dictionary, or None."""
        value, output = self.invoke("GetError")
        assert value == 0, f"GetError returned {value}"
        error = output["Error"]
        if error is None:
            return None
        if isinstance(error, ET.Element):
            return properties(error)
        return dict(parse_instance(error))


def fault(call, *arguments, **named):
    """The fault that a call has to end with."""
    try:
        call(*arguments, **named)
    except WSManFaultError as raised:
        return raised
    raise AssertionError("there was no fault")
