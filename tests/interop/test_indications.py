"""Indications as pywbem's subscription manager asks for them and its listener takes them."""

import contextlib
import socket
import threading

import pywbem

from harness import COMPLETED, RUNNING, V1, V2, Case, wait_until

JOBS = 'SELECT * FROM CIM_InstIndication WHERE SourceInstance ISA "CIM_ConcreteJob"'
#: What every class of jobs tells when its state changes, in the words of SMI-S clients.
STATE = (
    "SELECT * FROM CIM_InstModification WHERE SourceInstance ISA CIM_ConcreteJob AND "
    "SourceInstance.CIM_ConcreteJob::JobState <> PreviousInstance.CIM_ConcreteJob::JobState"
)
INTEROP = "root/interop"


def free_port():
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Ear:
    """A listener of pywbem that remembers what it heard, and can go and come back on its port."""

    def __init__(self):
        self.port = free_port()
        self.heard = []
        self.lock = threading.Lock()
        self.listener = None

    @property
    def url(self):
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        """Begins to listen."""
        self.listener = pywbem.WBEMListener("127.0.0.1", http_port=self.port)
        self.listener.add_callback(self.take)
        self.listener.start()

    def stop(self):
        """Is gone; connections to it are refused."""
        if self.listener is not None:
            self.listener.stop()
            self.listener = None

    def take(self, indication, host):
        """One indication."""
        del host
        with self.lock:
            self.heard.append(indication)

    def of(self, name):
        """What was heard about the jobs of this name, without repetitions."""
        with self.lock:
            heard = list(self.heard)
        known = {}
        for indication in heard:
            known.setdefault((indication["SequenceContext"], indication["SequenceNumber"]), indication)
        return [i for i in known.values() if i["SourceInstance"]["Name"] == name]


class IndicationTests(Case):
    """Subscriptions, the life of a job, and listeners that come and go."""

    def setUp(self):
        super().setUp()
        self.ear = Ear()
        self.ear.start()
        self.addCleanup(self.ear.stop)
        self.olga = self.connection("olga")

    @contextlib.contextmanager
    def subscribed(self, connection, query, language="WQL", namespaces=(V2,), url=None):
        """A subscription for the time of the block."""
        with pywbem.WBEMSubscriptionManager(self._testMethodName) as manager:
            server = manager.add_server(pywbem.WBEMServer(connection))
            destination = manager.add_destination(server, url or self.ear.url, destination_id="d")
            query_filter = manager.add_filter(
                server, list(namespaces), query, query_language=language, filter_id="f"
            )
            made = manager.add_subscriptions(server, query_filter.path, destination.path)
            yield manager, server, made[0]

    def states_of(self, name):
        """The classes of the indications about a job and the states that they tell."""
        return [(i.classname, i["SourceInstance"]["JobState"]) for i in self.ear.of(name)]

    def wait_for_end(self, name):
        """Waits until the end of the job has been told."""
        wait_until(lambda: any(s == COMPLETED for _, s in self.states_of(name)), f"the end of {name} to be told")

    def test_the_life_of_a_job_is_told_in_order(self):
        name = self._testMethodName
        with self.subscribed(self.ada, JOBS):
            job = self.demo(self.ada, name=name)
            job.wait_for(RUNNING)
            self.finish(job)
            job.wait()
            self.ada.DeleteInstance(job.path)
            wait_until(lambda: self.states_of(name)[-1:] == [("CIM_InstDeletion", COMPLETED)], "the deletion")
        told = self.ear.of(name)
        self.assertEqual(told[0].classname, "CIM_InstCreation")
        self.assertEqual(told[0]["SourceInstance"]["JobState"], RUNNING)
        self.assertEqual({i["SequenceContext"] for i in told}, {told[0]["SequenceContext"]})
        numbers = [i["SequenceNumber"] for i in told]
        self.assertEqual(numbers, sorted(numbers))
        end = next(i for i in told if i["SourceInstance"]["JobState"] == COMPLETED)
        self.assertEqual(end.classname, "CIM_InstModification")
        self.assertEqual(end["PreviousInstance"]["JobState"], RUNNING)
        self.assertIn("JobState", end["ChangedPropertyNames"])
        self.assertNotIn("InstanceID", end["ChangedPropertyNames"])
        self.assertEqual(end["SourceInstance"].classname, "Msvm_ConcreteJob")
        self.assertEqual(end["SourceInstance"]["InstanceID"], job.path["InstanceID"])
        self.assertIn(job.path["InstanceID"], end["SourceInstanceModelPath"])
        self.assertEqual(end["IndicationFilterName"], f"pywbemfilter:{name}:f")
        self.assertIsInstance(end["IndicationTime"], pywbem.CIMDateTime)

    def test_a_listener_that_comes_back_has_missed_nothing(self):
        names = [f"{self._testMethodName} {n}" for n in range(3)]
        with self.subscribed(self.ada, JOBS):
            for at, name in enumerate(names):
                if at == 1:
                    self.ear.stop()
                self.finish(self.demo(self.ada, name=name))
                if at == 0:
                    self.wait_for_end(name)
            self.ear.start()
            for name in names:
                self.wait_for_end(name)
        heard = [i["SequenceNumber"] for name in names for i in self.ear.of(name)]
        self.assertEqual(sorted(heard), sorted(set(heard)))
        self.assertEqual(heard, sorted(heard), "in the order in which it happened")

    def test_the_query_of_an_smi_s_client(self):
        name = self._testMethodName
        with self.subscribed(self.ada, STATE, "DMTF:CQL", (V1, V2)):
            job = self.demo(self.ada, name=name)
            job.wait_for(RUNNING)
            self.finish(job)
            job.wait()
            both = [("CIM_InstModification", COMPLETED)] * 2
            wait_until(lambda: self.states_of(name) == both, "both namespaces to tell the one change of state")
        places = {i["SourceInstanceModelPath"].split(":")[0] for i in self.ear.of(name)}
        self.assertEqual(places, {V1, V2})

    def test_a_filter_of_the_server(self):
        name = self._testMethodName
        with pywbem.WBEMSubscriptionManager(name) as manager:
            server = manager.add_server(pywbem.WBEMServer(self.olga))
            destination = manager.add_destination(server, self.ear.url, destination_id="d")
            standing = [
                f for f in manager.get_all_filters(server) if f["Name"] == "Cimwright:JobControl:JobStateChanged"
            ]
            self.assertEqual(len(standing), 1)
            manager.add_subscriptions(server, standing[0].path, destination.path)
            self.finish(self.demo(self.olga, name=name))
            self.wait_for_end(name)

    def test_a_collection_of_filters(self):
        name = self._testMethodName
        (jobs,) = [
            c for c in self.ada.EnumerateInstances("CIM_FilterCollection", INTEROP)
            if c["CollectionName"] == "Cimwright:JobControl:Filters"
        ]  # fmt: skip
        members = self.ada.AssociatorNames(jobs.path, AssocClass="CIM_MemberOfCollection")
        self.assertIn("Cimwright:JobControl:JobEvents", [m["Name"] for m in members])
        with pywbem.WBEMSubscriptionManager(name) as manager:
            server = manager.add_server(pywbem.WBEMServer(self.ada))
            destination = manager.add_destination(server, self.ear.url, destination_id="d")
            ends = {"Filter": jobs.path, "Handler": destination.path}
            made = self.ada.CreateInstance(pywbem.CIMInstance("CIM_FilterCollectionSubscription", ends), INTEROP)
            try:
                self.finish(self.demo(self.ada, name=name))
                self.wait_for_end(name)
            finally:
                # It is none of the manager's, and the destination cannot go before it.
                self.ada.DeleteInstance(made)
        told = [i for i in self.ear.of(name) if i["SourceInstanceModelPath"].startswith(f"{V2}:")]
        self.assertEqual([i.classname for i in told].count("CIM_InstCreation"), 1, "once, though two filters admit it")

    def test_the_call_that_makes_a_job_is_told(self):
        name = self._testMethodName
        with self.subscribed(self.ada, "SELECT * FROM CIM_InstMethodCall WHERE MethodName = 'StartJob'"):
            job = self.demo(self.ada, name=name)
            self.finish(job)
            job.wait()

            def calls():
                with self.ear.lock:
                    return [i for i in self.ear.heard if i.classname == "CIM_InstMethodCall"]

            wait_until(lambda: [i["PreCall"] for i in calls()] == [True, False], "the beginning and the end")
            before, after = calls()
        self.assertEqual(before["MethodParameters"]["Name"], name)
        self.assertIsNone(before["ReturnValue"])
        self.assertEqual(after["ReturnValue"], "0")
        self.assertIn(job.path["InstanceID"], after["MethodParameters"]["Job"])
        self.assertEqual(before["SourceInstance"].classname, "Cimwright_DemoService")

    def test_the_settings_of_the_service(self):
        (service,) = self.ada.EnumerateInstances("CIM_IndicationService", INTEROP)
        systems = self.ada.Associators(service.path, AssocClass="CIM_HostedService")
        self.assertEqual([s["Name"] for s in systems], [service["SystemName"]])
        names = ["DeliveryRetryAttempts"]
        changed = pywbem.CIMInstance(service.classname, {"DeliveryRetryAttempts": pywbem.Uint16(7)}, path=service.path)
        self.expect_status(pywbem.CIM_ERR_ACCESS_DENIED, self.olga.ModifyInstance, changed, PropertyList=names)
        self.ada.ModifyInstance(changed, PropertyList=names)
        self.assertEqual(self.ada.GetInstance(service.path)["DeliveryRetryAttempts"], 7)
        changed.properties["DeliveryRetryAttempts"] = pywbem.CIMProperty("DeliveryRetryAttempts", None, "uint16")
        self.ada.ModifyInstance(changed, PropertyList=names)
        self.assertEqual(self.ada.GetInstance(service.path)["DeliveryRetryAttempts"], service["DeliveryRetryAttempts"])

    def test_the_manager_finds_and_removes_what_it_made(self):
        with self.subscribed(self.olga, JOBS) as (manager, server, made):
            self.assertEqual([s.path for s in manager.get_owned_subscriptions(server)], [made.path])
            self.assertEqual(len(manager.get_owned_filters(server)), 1)
            shown = self.olga.GetInstance(made.path)
            self.assertEqual((shown["SubscriptionState"], shown["OnFatalErrorPolicy"]), (2, 2))
            owned = manager.get_owned_destinations(server)
            self.expect_status(pywbem.CIM_ERR_FAILED, self.olga.DeleteInstance, owned[0].path)
            self.expect_status(pywbem.CIM_ERR_ACCESS_DENIED, self.connection("otto").DeleteInstance, made.path)
            shown["SubscriptionState"] = pywbem.Uint16(4)
            self.olga.ModifyInstance(shown, PropertyList=["SubscriptionState"])
            self.finish(self.demo(self.olga, name="unheard"))
            shown["SubscriptionState"] = pywbem.Uint16(2)
            self.olga.ModifyInstance(shown, PropertyList=["SubscriptionState"])
        ours = f"pywbemfilter:{self._testMethodName}:f"
        left = [f for f in self.olga.EnumerateInstances("CIM_IndicationFilter", INTEROP) if f["Name"] == ours]
        self.assertEqual(left, [])

    def test_what_is_wrong_is_refused_with_a_reason(self):
        def make(query, language="WQL", namespace=V2):
            with self.subscribed(self.ada, query, language, (namespace,)):
                self.fail("the filter was accepted")

        self.expect_status(pywbem.CIM_ERR_INVALID_QUERY, make, "SELECT * FROM Nowhere")
        self.expect_status(pywbem.CIM_ERR_INVALID_QUERY, make, "SELECT * FROM Msvm_ConcreteJob")
        self.expect_status(pywbem.CIM_ERR_INVALID_QUERY, make, "SELECT FROM")
        self.expect_status(pywbem.CIM_ERR_QUERY_LANGUAGE_NOT_SUPPORTED, make, JOBS, "SQL")
        self.expect_status(pywbem.CIM_ERR_NOT_SUPPORTED, make, JOBS, "WQL", INTEROP)
        self.expect_status(pywbem.CIM_ERR_INVALID_PARAMETER, make, JOBS, "WQL", "root/nowhere")

    def test_indications_go_nowhere_else(self):
        def send_to(url, user="ada"):
            with self.subscribed(self.connection(user), JOBS, url=url):
                self.fail("the destination was accepted")

        self.expect_status(pywbem.CIM_ERR_ACCESS_DENIED, send_to, "http://192.0.2.1:5990")
        self.expect_status(pywbem.CIM_ERR_ACCESS_DENIED, send_to, "https://listener.example.com:5991")
        self.expect_status(pywbem.CIM_ERR_ACCESS_DENIED, send_to, self.ear.url, "rita")

    def test_the_service_says_how_it_delivers(self):
        service = self.ada.EnumerateInstances("CIM_IndicationService", INTEROP)
        self.assertEqual(len(service), 1)
        self.assertTrue(service[0]["FilterCreationEnabled"])
        self.assertGreaterEqual(service[0]["DeliveryRetryAttempts"], 1)
        server = pywbem.WBEMServer(self.ada)
        profiles = server.get_selected_profiles("DMTF", "Indications")
        self.assertEqual(len(profiles), 1)
        central = server.get_central_instances(profiles[0].path)
        self.assertEqual([c.classname for c in central], ["CIM_IndicationService"])
