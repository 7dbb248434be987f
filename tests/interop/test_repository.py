"""What clients load: classes, qualifiers, static instances, associations among them, and namespaces."""

import unittest

import pywbem
from harness import connect, wait_until
from test_indications import Ear

INTEROP = "root/interop"

NOTES = """
Qualifier Key : boolean = false, Scope(property, reference), Flavor(DisableOverride);
Qualifier Association : boolean = false, Scope(association), Flavor(DisableOverride);
Qualifier Description : string = null, Scope(any), Flavor(Translatable);

   [Description ("A note.")]
class Acme_Note {
      [Key, Description ("Its number.")]
   uint32 Number;
   string Text = "none";
   datetime Written;
   string Tags[];
};

class Acme_Memo : Acme_Note {
   boolean Urgent = false;
};

   [Association]
class Acme_Follows {
      [Key] Acme_Note REF Earlier;
      [Key] Acme_Note REF Later;
};

instance of Acme_Note as $First { Number = 1; Text = "first"; Tags = { "a", "b" }; };
instance of Acme_Memo as $Second { Number = 2; Urgent = true; Written = "20260101120000.000000+000"; };
instance of Acme_Follows { Earlier = $First; Later = $Second; };
"""


class Case(unittest.TestCase):
    def expect_status(self, status, call, *arguments, **options):
        with self.assertRaises(pywbem.CIMError) as caught:
            call(*arguments, **options)
        self.assertEqual(caught.exception.status_code, status, caught.exception)


class Repository(Case):
    """A namespace of its own, filled by pywbem's MOF compiler."""

    namespace = "root/interop-test"

    def setUp(self):
        self.ada = connect(INTEROP)
        self.server = pywbem.WBEMServer(self.ada)
        self.server.create_namespace(self.namespace)
        self.addCleanup(self.empty)
        self.notes = connect(self.namespace)
        compiler = pywbem.MOFCompiler(self.notes, log_func=None)
        compiler.compile_string(NOTES, self.namespace)

    def empty(self):
        for name in self.notes.EnumerateClassNames():
            for path in self.notes.EnumerateInstanceNames(name):
                self.notes.DeleteInstance(path)
        for name in reversed(self.notes.EnumerateClassNames(DeepInheritance=True)):
            self.notes.DeleteClass(name)
        for declaration in self.notes.EnumerateQualifiers():
            self.notes.DeleteQualifier(declaration.name)
        self.server.delete_namespace(self.namespace)
        self.assertNotIn(self.namespace, pywbem.WBEMServer(self.ada).namespaces)

    def path(self, number, name="Acme_Note"):
        keys = {"Number": pywbem.Uint32(number)}
        return pywbem.CIMInstanceName(name, keys, namespace=self.namespace)

    def test_classes(self):
        self.assertEqual(
            set(self.notes.EnumerateClassNames(DeepInheritance=True)), {"Acme_Note", "Acme_Memo", "Acme_Follows"}
        )
        memo = self.notes.GetClass("acme_memo", LocalOnly=False, IncludeClassOrigin=True)
        self.assertEqual(memo.superclass, "Acme_Note")
        self.assertTrue(memo.properties["Number"].propagated)
        self.assertEqual(memo.properties["Number"].class_origin, "Acme_Note")
        self.assertTrue(memo.properties["Number"].qualifiers["Key"].value)
        self.assertEqual(list(self.notes.GetClass("Acme_Memo", LocalOnly=True).properties), ["Urgent"])
        bare = self.notes.GetClass("Acme_Memo", LocalOnly=False, IncludeQualifiers=False, PropertyList=["text"])
        self.assertEqual(list(bare.properties), ["Text"])
        self.assertFalse(bare.properties["Text"].qualifiers)
        self.expect_status(pywbem.CIM_ERR_CLASS_HAS_CHILDREN, self.notes.DeleteClass, "Acme_Note")
        self.expect_status(pywbem.CIM_ERR_CLASS_HAS_INSTANCES, self.notes.DeleteClass, "Acme_Memo")
        self.expect_status(pywbem.CIM_ERR_ALREADY_EXISTS, self.notes.CreateClass, memo)
        orphan = pywbem.CIMClass("Acme_Orphan", superclass="Acme_None")
        self.expect_status(pywbem.CIM_ERR_INVALID_SUPERCLASS, self.notes.CreateClass, orphan)
        self.expect_status(pywbem.CIM_ERR_NOT_FOUND, self.notes.ModifyClass, pywbem.CIMClass("Acme_None"))
        memo.properties["Colour"] = pywbem.CIMProperty("Colour", None, type="string")
        self.expect_status(pywbem.CIM_ERR_CLASS_HAS_INSTANCES, self.notes.ModifyClass, memo)

    def test_qualifiers(self):
        key = self.notes.GetQualifier("key")
        self.assertFalse(key.overridable)
        self.assertTrue(key.scopes["REFERENCE"])
        colour = pywbem.CIMQualifierDeclaration("Colour", "string", value="red", scopes={"PROPERTY": True})
        self.notes.SetQualifier(colour)
        self.assertEqual(self.notes.GetQualifier("Colour").value, "red")
        self.notes.DeleteQualifier("Colour")
        self.expect_status(pywbem.CIM_ERR_NOT_FOUND, self.notes.GetQualifier, "Colour")

    def test_what_happens_to_instances_is_told(self):
        events = """
Qualifier Indication : boolean = false, Scope(class, indication), Flavor(DisableOverride);
Qualifier EmbeddedObject : boolean = false, Scope(property, method, parameter);
   [Indication]
class CIM_Indication { string IndicationIdentifier; datetime IndicationTime; };
   [Indication]
class CIM_InstIndication : CIM_Indication {
      [EmbeddedObject]
   string SourceInstance;
   string SourceInstanceModelPath;
   string SourceInstanceHost;
};
   [Indication]
class CIM_InstCreation : CIM_InstIndication { };
   [Indication]
class CIM_InstModification : CIM_InstIndication {
      [EmbeddedObject]
   string PreviousInstance;
   string ChangedPropertyNames[];
};
   [Indication]
class CIM_InstDeletion : CIM_InstIndication { };
"""
        pywbem.MOFCompiler(self.notes, log_func=None).compile_string(events, self.namespace)
        ear = Ear()
        ear.start()
        self.addCleanup(ear.stop)
        query = "SELECT * FROM CIM_InstIndication WHERE SourceInstance ISA Acme_Note"
        with pywbem.WBEMSubscriptionManager("notes") as manager:
            server = manager.add_server(self.server)
            destination = manager.add_destination(server, ear.url, destination_id="d")
            wanted = manager.add_filter(server, [self.namespace], query, query_language="DMTF:CQL", filter_id="f")
            manager.add_subscriptions(server, wanted.path, destination.path)
            memo = pywbem.CIMInstance("Acme_Memo", {"Number": pywbem.Uint32(9), "Text": "new"})
            memo.path = self.notes.CreateInstance(memo)
            memo["Text"] = "newer"
            self.notes.ModifyInstance(memo, PropertyList=["Text"])
            self.notes.DeleteInstance(memo.path)
            wait_until(lambda: len(ear.heard) == 3, "its whole life to be told")
        told = [(i.classname, i["SourceInstance"]["Text"]) for i in ear.heard]
        self.assertEqual(
            told, [("CIM_InstCreation", "new"), ("CIM_InstModification", "newer"), ("CIM_InstDeletion", "newer")]
        )
        self.assertEqual(ear.heard[1]["PreviousInstance"]["Text"], "new")
        self.assertEqual(ear.heard[1]["ChangedPropertyNames"], ["Text"])
        self.assertEqual(ear.heard[0]["SourceInstanceModelPath"], f"{self.namespace}:Acme_Memo.Number=9")

    def test_names_that_are_none(self):
        for name in ("", "a b", "9x"):
            self.expect_status(pywbem.CIM_ERR_INVALID_PARAMETER, self.notes.CreateClass, pywbem.CIMClass(name))

    def test_instances(self):
        first = self.notes.GetInstance(self.path(1), LocalOnly=False)
        self.assertEqual((first["Text"], first["Tags"]), ("first", ["a", "b"]))
        self.expect_status(pywbem.CIM_ERR_ALREADY_EXISTS, self.notes.CreateInstance, first)
        self.expect_status(pywbem.CIM_ERR_NOT_FOUND, self.notes.GetInstance, self.path(9))
        found = self.notes.EnumerateInstances("Acme_Note", DeepInheritance=True)
        self.assertEqual({i.classname for i in found}, {"Acme_Note", "Acme_Memo"})
        flat = self.notes.EnumerateInstances("Acme_Note", DeepInheritance=False)
        self.assertTrue(all("Urgent" not in i for i in flat))
        first["Text"] = "changed"
        self.notes.ModifyInstance(first, PropertyList=["Text", "Tags"])
        self.assertEqual(self.notes.GetInstance(self.path(1))["Text"], "changed")
        listed = self.notes.GetInstance(self.path(1), PropertyList=["TEXT"], IncludeClassOrigin=True)
        self.assertEqual(list(listed.properties), ["Text"])
        self.assertEqual(listed.properties["Text"].class_origin, "Acme_Note")
        wrong = pywbem.CIMInstance("Acme_Note", {"Number": pywbem.Uint32(5), "Nope": "x"})
        self.expect_status(pywbem.CIM_ERR_INVALID_PARAMETER, self.notes.CreateInstance, wrong)

    def test_queries_and_pulls(self):
        found = self.notes.ExecQuery("WQL", "SELECT * FROM Acme_Note WHERE Number > 1")
        self.assertEqual([i["Number"] for i in found], [2])
        for number in range(10, 25):
            self.notes.CreateInstance(pywbem.CIMInstance("Acme_Note", {"Number": pywbem.Uint32(number)}))
        answer = self.notes.OpenEnumerateInstancePaths("Acme_Note", MaxObjectCount=5)
        seen = answer.paths
        while not answer.eos:
            answer = self.notes.PullInstancePaths(answer.context, MaxObjectCount=4)
            seen += answer.paths
        self.assertEqual(len({p["Number"] for p in seen}), 17)

    def test_associations(self):
        names = self.notes.AssociatorNames(self.path(1), AssocClass="Acme_Follows", ResultRole="Later")
        self.assertEqual([(n.classname, n["Number"]) for n in names], [("Acme_Memo", 2)])
        self.assertEqual(self.notes.AssociatorNames(self.path(1), Role="Later"), [])
        (link,) = self.notes.References(self.path(2, "Acme_Memo"), ResultClass="Acme_Follows")
        self.assertEqual(link["Earlier"]["Number"], 1)
        self.assertEqual(self.notes.GetInstance(link.path)["Later"]["Number"], 2)
        (found,) = self.notes.Associators(self.path(2, "Acme_Memo"), PropertyList=["Text"])
        self.assertEqual(found["Text"], "first")
        classes = {name.classname for name in self.notes.AssociatorNames("Acme_Memo")}
        self.assertIn("Acme_Note", classes)
        self.assertEqual([c[0].classname for c in self.notes.References("Acme_Note")], ["Acme_Follows"])

    def test_a_namespace_with_content_stays(self):
        self.expect_status(pywbem.CIM_ERR_NAMESPACE_NOT_EMPTY, self.server.delete_namespace, self.namespace)
        self.expect_status(pywbem.CIM_ERR_ALREADY_EXISTS, self.server.create_namespace, self.namespace)

    def test_roles(self):
        for user in ("rita", "olga"):
            other = connect(self.namespace, user=user)
            self.assertEqual(other.GetInstance(self.path(1))["Number"], 1)
            new = pywbem.CIMInstance("Acme_Note", {"Number": pywbem.Uint32(7)})
            self.expect_status(pywbem.CIM_ERR_ACCESS_DENIED, other.CreateInstance, new)
            self.expect_status(pywbem.CIM_ERR_ACCESS_DENIED, other.DeleteInstance, self.path(1))
            self.expect_status(pywbem.CIM_ERR_ACCESS_DENIED, other.DeleteClass, "Acme_Follows")


class Discovery(Case):
    """The server as WBEMServer finds it."""

    def setUp(self):
        self.server = pywbem.WBEMServer(connect(INTEROP))

    def test_the_server(self):
        self.assertEqual(self.server.interop_ns, INTEROP)
        self.assertEqual(self.server.brand, "Cimwright")
        self.assertRegex(self.server.version, r"^[0-9]+\.")
        self.assertLessEqual({INTEROP, "root/virtualization", "root/virtualization/v2"}, set(self.server.namespaces))
        urls = {
            i["Name"]
            for i in self.server.conn.Associators(
                self.server.cimom_inst.path, AssocClass="CIM_CommMechanismForManager"
            )
        }
        self.assertIn(self.server.conn.url, urls)

    def test_profiles_and_central_instances(self):
        names = {p["RegisteredName"] for p in self.server.profiles}
        self.assertLessEqual({"Job Control", "Profile Registration", "Server"}, names)
        for profile in self.server.profiles:
            ways = [
                self.server.get_central_instances(profile.path, try_gci_method=way) for way in (False, True)
            ]
            found = [{path.to_wbem_uri("historical").split("/", 1)[-1] for path in self.hostless(way)} for way in ways]
            self.assertEqual(found[0], found[1], profile["RegisteredName"])

    @staticmethod
    def hostless(paths):
        for path in paths or []:
            path.host = None
            yield path

    def test_wmi_namespaces(self):
        root = connect("root")
        names = {p["Name"] for p in root.EnumerateInstanceNames("__Namespace")}
        self.assertIn("virtualization", names)
        path = root.CreateInstance(pywbem.CIMInstance("__Namespace", {"Name": "by-wmi"}))
        self.assertIn("root/by-wmi", self.server.namespaces)
        root.DeleteInstance(path)
        self.expect_status(pywbem.CIM_ERR_INVALID_NAMESPACE, root.EnumerateClassNames, namespace="root/by-wmi")
