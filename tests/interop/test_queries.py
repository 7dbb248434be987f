"""Finding jobs: enumerations at once and in parts, associations, queries."""

import pywbem

from harness import COMPLETED, MIB, RUNNING, V1, V2, Case, random_image


class Queries:
    """The tests; the classes below say in which namespace."""

    def setUp(self):
        super().setUp()
        self.jobs = [self.demo(self.ada, ending="complete", name=f"{self.id()} {number}") for number in range(7)]
        for job in self.jobs:
            job.wait()
        self.ids = {job.path["InstanceID"] for job in self.jobs}

    def test_enumerations_agree(self):
        names = self.ada.EnumerateInstanceNames("Msvm_ConcreteJob")
        self.assertLessEqual(self.ids, {n["InstanceID"] for n in names})
        instances = self.ada.EnumerateInstances("CIM_Job", DeepInheritance=True, LocalOnly=False)
        self.assertLessEqual(self.ids, {i["InstanceID"] for i in instances if i.classname == "Msvm_ConcreteJob"})
        for instance in instances:
            self.assertEqual(instance.path["InstanceID"], instance["InstanceID"])
        some = self.ada.EnumerateInstances("Msvm_ConcreteJob", PropertyList=["InstanceID", "JobState"])
        self.assertEqual({tuple(sorted(i.keys())) for i in some}, {("InstanceID", "JobState")})

    def test_pulling_in_parts(self):
        pulling = self.connection("ada", use_pull_operations=True)
        for size in (1, 3, 1000):
            found = list(pulling.IterEnumerateInstances("Msvm_ConcreteJob", MaxObjectCount=size))
            self.assertEqual(len(found), len({i["InstanceID"] for i in found}))
            self.assertLessEqual(self.ids, {i["InstanceID"] for i in found})
            paths = list(pulling.IterEnumerateInstancePaths("Msvm_ConcreteJob", MaxObjectCount=size))
            self.assertLessEqual(self.ids, {p["InstanceID"] for p in paths})
            self.assertTrue(all(p.namespace == self.namespace and p.host for p in paths))

    def test_pulling_associations(self):
        pulling = self.connection("ada", use_pull_operations=True)
        service = self.service(pulling, "Cimwright_DemoService")
        path = self.jobs[0].path
        for found in (
            [i.path for i in pulling.IterAssociatorInstances(path, MaxObjectCount=1)],
            list(pulling.IterAssociatorInstancePaths(path, MaxObjectCount=1)),
        ):
            self.assertIn(service["Name"], [p["Name"] for p in found if p.classname == service.classname])
        references = list(pulling.IterReferenceInstances(path, MaxObjectCount=1))
        self.assertEqual(len(references), len(list(pulling.IterReferenceInstancePaths(path, MaxObjectCount=1))))
        self.assertIn("Msvm_OwningJobElement", [r.classname for r in references])

    def test_filters_of_enumerations(self):
        name = self.jobs[3].value("Name")
        language = {"FilterQueryLanguage": "DMTF:FQL", "MaxObjectCount": 100}
        wanted = {self.jobs[3].path["InstanceID"]}
        filters = (f"Name = '{name}'", f"Name LIKE '{name[:-1]}[3]' AND JobState = 7")
        for text in filters:
            found = self.ada.OpenEnumerateInstances("CIM_Job", FilterQuery=text, PropertyList=["JobState"], **language)
            self.assertEqual({i.path["InstanceID"] for i in found.instances}, wanted, text)
            found = self.ada.OpenEnumerateInstancePaths("Msvm_ConcreteJob", FilterQuery=text, **language)
            self.assertEqual({p["InstanceID"] for p in found.paths}, wanted, text)
        service = self.service(self.ada, "Cimwright_DemoService")
        pulling = self.connection("ada", use_pull_operations=True)
        found = pulling.IterAssociatorInstances(service, FilterQuery=filters[0], **language)
        self.assertEqual({i.path["InstanceID"] for i in found}, wanted)
        for status, options in (
            (pywbem.CIM_ERR_INVALID_QUERY, {"FilterQuery": "Name =", "FilterQueryLanguage": "DMTF:FQL"}),
            (pywbem.CIM_ERR_INVALID_QUERY, {"FilterQuery": "NoSuch = 1", "FilterQueryLanguage": "DMTF:FQL"}),
            (pywbem.CIM_ERR_QUERY_LANGUAGE_NOT_SUPPORTED, {"FilterQuery": "a = 1", "FilterQueryLanguage": "WQL"}),
            (pywbem.CIM_ERR_INVALID_PARAMETER, {"FilterQuery": "Name = 'a'"}),
        ):
            with self.subTest(options):
                self.expect_status(status, self.ada.OpenEnumerateInstances, "CIM_Job", **options)

    def test_an_enumeration_that_is_closed_is_over(self):
        opened = self.ada.OpenEnumerateInstances("Msvm_ConcreteJob", MaxObjectCount=1)
        self.assertFalse(opened.eos)
        self.assertEqual(len(opened.instances), 1)
        more = self.ada.PullInstancesWithPath(opened.context, MaxObjectCount=2)
        self.assertEqual(len(more.instances), 2)
        self.ada.CloseEnumeration(opened.context)
        self.expect_status(
            pywbem.CIM_ERR_INVALID_ENUMERATION_CONTEXT,
            self.ada.PullInstancesWithPath,
            opened.context,
            MaxObjectCount=1,
        )

    def test_the_wrong_kind_of_pull_is_refused(self):
        opened = self.ada.OpenEnumerateInstancePaths("Msvm_ConcreteJob", MaxObjectCount=1)
        with self.assertRaises(pywbem.CIMError):
            self.ada.PullInstancesWithPath(opened.context, MaxObjectCount=1)

    def test_queries(self):
        wanted = self.jobs[3]
        found = self.ada.ExecQuery(
            "WQL", f"SELECT * FROM Msvm_ConcreteJob WHERE InstanceID = '{wanted.path['InstanceID']}'"
        )
        self.assertEqual([i["Name"] for i in found], [f"{self.id()} 3"])
        found = self.ada.ExecQuery(
            "WQL", f"select InstanceID, JobState from CIM_ConcreteJob where Name LIKE '{self.id()} %' and JobState = 7"
        )
        self.assertEqual({i["InstanceID"] for i in found}, self.ids)
        self.assertEqual({i["JobState"] for i in found}, {COMPLETED})
        self.assertTrue(all("PercentComplete" not in i for i in found))
        found = self.ada.ExecQuery(
            "WQL", f"SELECT * FROM Msvm_ConcreteJob WHERE Name = '{self.id()} 1' AND NOT JobState <> {COMPLETED}"
        )
        self.assertEqual(len(found), 1)

    def test_queries_in_the_language_of_the_dmtf(self):
        mine = f"SELECT * FROM CIM_ConcreteJob AS j WHERE j.Name LIKE '{self.id().replace('.', '[.]')} .*'"
        for language in ("DMTF:CQL", "CIM:CQL"):
            found = self.ada.ExecQuery(language, f"{mine} AND j ISA Msvm_ConcreteJob AND j.JobState = 0x7")
            self.assertEqual({i["InstanceID"] for i in found}, self.ids)
        pulling = self.connection("ada", use_pull_operations=True)
        found = list(pulling.IterQueryInstances("DMTF:CQL", mine, MaxObjectCount=2).generator)
        self.assertEqual({i["InstanceID"] for i in found}, self.ids)
        wrong = (
            ("SELECT FROM WHERE", "at character 8, 'FROM': expected a property or *"),
            ("SELECT * FROM CIM_ConcreteJob WHERE JobState = '7'", "does not compare with text"),
            ("SELECT * FROM CIM_ConcreteJob WHERE Nope = 7", "no property Nope"),
        )
        for query, told in wrong:
            error = self.expect_status(pywbem.CIM_ERR_INVALID_QUERY, self.ada.ExecQuery, "DMTF:CQL", query)
            self.assertIn(told, error.status_description)

    def test_queries_in_parts(self):
        pulling = self.connection("ada", use_pull_operations=True)
        query = f"SELECT * FROM Msvm_ConcreteJob WHERE Name LIKE '{self.id()} %'"
        found = list(pulling.IterQueryInstances("WQL", query, MaxObjectCount=2).generator)
        self.assertEqual({i["InstanceID"] for i in found}, self.ids)

    def test_queries_that_make_no_sense(self):
        for language, query, status in (
            ("WQL", "SELECT FROM", pywbem.CIM_ERR_INVALID_QUERY),
            ("WQL", "SELECT * FROM Msvm_ConcreteJob WHERE JobState =", pywbem.CIM_ERR_INVALID_QUERY),
            ("SPARQL", "SELECT * FROM Msvm_ConcreteJob", pywbem.CIM_ERR_QUERY_LANGUAGE_NOT_SUPPORTED),
        ):
            self.expect_status(status, self.ada.ExecQuery, language, query)

    def test_the_owner_of_a_job(self):
        service = self.service(self.ada, "Cimwright_DemoService")
        path = self.jobs[0].path
        owners = self.ada.AssociatorNames(path, AssocClass="Msvm_OwningJobElement")
        self.assertEqual([o["Name"] for o in owners], [service["Name"]])
        owners = self.ada.Associators(path, AssocClass="Msvm_OwningJobElement", ResultRole="OwningElement")
        self.assertEqual([o.classname for o in owners], ["Cimwright_DemoService"])
        self.assertEqual(self.ada.AssociatorNames(path, AssocClass="Msvm_OwningJobElement", Role="OwningElement"), [])
        owned = self.ada.AssociatorNames(service, AssocClass="Msvm_OwningJobElement")
        self.assertLessEqual(self.ids, {o["InstanceID"] for o in owned})
        references = self.ada.References(path, ResultClass="Msvm_OwningJobElement")
        self.assertEqual(len(references), 1)
        self.assertEqual(references[0]["OwnedElement"]["InstanceID"], path["InstanceID"])
        self.assertEqual(references[0]["OwningElement"]["Name"], service["Name"])
        names = self.ada.ReferenceNames(path, ResultClass="CIM_OwningJobElement")
        self.assertEqual([n.classname for n in names], ["Msvm_OwningJobElement"])

    def test_what_a_storage_job_affects(self):
        source = random_image(self.directory / "source.raw", MIB)
        target = self.directory / ("target.vhd" if self.namespace == V1 else "target.vhdx")
        job = self.convert(self.ada, source, target)
        job.wait()
        affected = self.ada.AssociatorNames(job.path, AssocClass="CIM_AffectedJobElement")
        self.assertEqual({a["Name"] for a in affected}, {str(source), str(target)})
        references = self.ada.References(job.path, ResultClass="Msvm_AffectedStorageJobElement")
        self.assertEqual({r["AffectingElement"]["InstanceID"] for r in references}, {job.path["InstanceID"]})
        # The source is read, which others may notice (3); the target is made (5).
        effects = {r["AffectedElement"]["Name"]: r["ElementEffects"] for r in references}
        self.assertEqual(effects, {str(source): [3], str(target): [5]})
        back = self.ada.AssociatorNames(affected[0], ResultClass="Msvm_StorageJob")
        self.assertEqual([j["InstanceID"] for j in back], [job.path["InstanceID"]])

    def test_associations_of_what_is_not_there(self):
        self.assertEqual(self.ada.AssociatorNames(self.jobs[0].path, AssocClass="Msvm_AffectedStorageJobElement"), [])
        self.expect_status(
            pywbem.CIM_ERR_INVALID_PARAMETER, self.ada.AssociatorNames, self.jobs[0].path, AssocClass="No_Such"
        )

    def test_a_running_job_is_found_by_its_state(self):
        job = self.demo(self.ada)
        job.wait_for(RUNNING)
        query = f"SELECT InstanceID FROM Msvm_ConcreteJob WHERE JobState = {RUNNING}"
        self.assertIn(job.path["InstanceID"], {i["InstanceID"] for i in self.ada.ExecQuery("WQL", query)})
        self.finish(job)
        job.wait()
        self.assertNotIn(job.path["InstanceID"], {i["InstanceID"] for i in self.ada.ExecQuery("WQL", query)})


class QueriesV1(Queries, Case):
    namespace = V1


class QueriesV2(Queries, Case):
    namespace = V2
