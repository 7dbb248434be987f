"""Classes and qualifiers as a client reads them, and what of them cannot be changed."""

import pywbem

from harness import V1, V2, Case


class Model:
    """The tests; the classes below say in which namespace."""

    def test_every_class_is_read_without_complaint(self):
        classes = self.ada.EnumerateClasses(
            DeepInheritance=True, LocalOnly=False, IncludeQualifiers=True, IncludeClassOrigin=True
        )
        names = {c.classname for c in classes}
        self.assertEqual(names, set(self.ada.EnumerateClassNames(DeepInheritance=True)))
        for name in (
            "CIM_ManagedElement", "CIM_Job", "CIM_ConcreteJob", "CIM_Error", "CIM_OwningJobElement",
            "CIM_AffectedJobElement", "CIM_Service", "Msvm_ConcreteJob", "Msvm_StorageJob", "Msvm_Error",
            "Msvm_ImageManagementService", "Msvm_VirtualSystemManagementService",
        ):  # fmt: skip
            self.assertIn(name, names)
        for cim_class in classes:
            self.assertTrue(cim_class.superclass is None or cim_class.superclass in names, cim_class.classname)
            for prop in cim_class.properties.values():
                self.assertIsNotNone(prop.class_origin, f"{cim_class.classname}.{prop.name}")

    def test_top_classes_and_children(self):
        top = self.ada.EnumerateClassNames(DeepInheritance=False)
        self.assertIn("CIM_ManagedElement", top)
        self.assertNotIn("CIM_Job", top)
        self.assertEqual(self.ada.EnumerateClassNames(ClassName="CIM_Job", DeepInheritance=False), ["CIM_ConcreteJob"])
        self.assertEqual(
            set(self.ada.EnumerateClassNames(ClassName="CIM_ConcreteJob", DeepInheritance=True)),
            {"Msvm_ConcreteJob", "Msvm_StorageJob"},
        )

    def test_only_what_a_class_says_itself(self):
        local = self.ada.GetClass("CIM_ConcreteJob", LocalOnly=True)
        whole = self.ada.GetClass("CIM_ConcreteJob", LocalOnly=False)
        self.assertIn("JobState", local.properties)
        self.assertNotIn("PercentComplete", local.properties)
        self.assertIn("PercentComplete", whole.properties)
        some = self.ada.GetClass("CIM_ConcreteJob", LocalOnly=False, PropertyList=["JobState"], IncludeQualifiers=False)
        self.assertEqual(list(some.properties), ["JobState"])
        self.assertFalse(some.properties["JobState"].qualifiers)

    def test_value_maps(self):
        states = pywbem.ValueMapping.for_property(self.ada, self.namespace, "Msvm_ConcreteJob", "JobState")
        self.assertEqual(states.tovalues(7), "Completed")
        self.assertEqual(states.tovalues(10), "Exception")
        codes = pywbem.ValueMapping.for_method(self.ada, self.namespace, "Msvm_ConcreteJob", "GetError")
        self.assertEqual(codes.tovalues(32769), "Access Denied")

    def test_keys_and_parameters(self):
        job = self.ada.GetClass("Msvm_ConcreteJob", LocalOnly=False)
        self.assertTrue(job.properties["InstanceID"].qualifiers["Key"].value)
        error = job.methods["GetError"].parameters["Error"]
        self.assertEqual((error.type, error.is_array), ("string", False))
        self.assertTrue(error.qualifiers["Out"].value)
        errors = job.methods["GetErrorEx"].parameters["Errors"]
        self.assertEqual((errors.type, errors.is_array), ("string", True))

    def test_every_qualifier_that_is_used_is_declared(self):
        declared = {q.name.lower(): q for q in self.ada.EnumerateQualifiers()}
        self.assertIn("key", declared)
        self.assertEqual(self.ada.GetQualifier("Key").type, "boolean")
        self.assertTrue(self.ada.GetQualifier("Key").scopes["PROPERTY"])
        self.expect_status(pywbem.CIM_ERR_NOT_FOUND, self.ada.GetQualifier, "Nonsense")
        for cim_class in self.ada.EnumerateClasses(DeepInheritance=True, LocalOnly=True, IncludeQualifiers=True):
            for element in (cim_class, *cim_class.properties.values(), *cim_class.methods.values()):
                for qualifier in element.qualifiers.values():
                    where = f"{qualifier.name} in {cim_class.classname}"
                    self.assertIn(qualifier.name.lower(), declared, where)
                    self.assertEqual(qualifier.type, declared[qualifier.name.lower()].type, where)

    def test_names_that_are_not_there(self):
        self.expect_status(pywbem.CIM_ERR_INVALID_CLASS, self.ada.EnumerateInstances, "No_Such")
        self.expect_status(pywbem.CIM_ERR_INVALID_CLASS, self.ada.EnumerateInstanceNames, "No_Such")
        self.expect_status(pywbem.CIM_ERR_NOT_FOUND, self.ada.GetClass, "No_Such")
        self.expect_status(pywbem.CIM_ERR_INVALID_CLASS, self.ada.EnumerateClassNames, ClassName="No_Such")
        path = pywbem.CIMInstanceName("No_Such", {"InstanceID": "1"}, namespace=self.namespace)
        self.expect_status(pywbem.CIM_ERR_INVALID_CLASS, self.ada.GetInstance, path)
        service = self.service(self.ada)
        self.expect_status(pywbem.CIM_ERR_METHOD_NOT_FOUND, self.ada.InvokeMethod, "NoSuch", service)
        for call in (
            lambda: self.ada.EnumerateClassNames(namespace="root/nowhere"),
            lambda: self.ada.EnumerateInstances("Msvm_ConcreteJob", namespace="root/nowhere"),
        ):
            self.expect_status(pywbem.CIM_ERR_INVALID_NAMESPACE, call)

    def test_a_wrong_parameter(self):
        service = self.service(self.ada)
        self.expect_status(
            pywbem.CIM_ERR_INVALID_PARAMETER,
            self.ada.InvokeMethod,
            "CreateVirtualFloppyDisk",
            service,
            [("Pfad", "/x.vfd")],
        )

    def test_what_the_server_brings_cannot_be_changed(self):
        job_class = self.ada.GetClass("Msvm_ConcreteJob")
        changed = self.ada.GetClass("Msvm_StorageJob")
        changed.properties["Colour"] = pywbem.CIMProperty("Colour", None, type="string")
        for status, call in (
            (pywbem.CIM_ERR_ALREADY_EXISTS, lambda: self.ada.CreateClass(job_class)),
            (pywbem.CIM_ERR_NOT_SUPPORTED, lambda: self.ada.ModifyClass(changed)),
            (pywbem.CIM_ERR_NOT_SUPPORTED, lambda: self.ada.DeleteClass("Msvm_StorageJob")),
            (pywbem.CIM_ERR_CLASS_HAS_CHILDREN, lambda: self.ada.DeleteClass("CIM_Job")),
            (pywbem.CIM_ERR_FAILED, lambda: self.ada.DeleteQualifier("Key")),
            (
                pywbem.CIM_ERR_NOT_SUPPORTED,
                lambda: self.ada.CreateInstance(pywbem.CIMInstance("Msvm_ConcreteJob", {"Name": "x"})),
            ),
        ):
            self.expect_status(status, call)

    def test_names_are_the_same_in_any_case(self):
        self.assertEqual(self.ada.GetClass("MSVM_CONCRETEJOB").classname, "Msvm_ConcreteJob")
        self.assertEqual(
            self.ada.EnumerateClassNames(namespace=self.namespace.upper(), ClassName="cim_job"), ["CIM_ConcreteJob"]
        )

    def test_the_services(self):
        for name in (
            "Msvm_ImageManagementService", "Msvm_VirtualSystemManagementService", "Cimwright_DemoService",
        ):  # fmt: skip
            path = self.service(self.ada, name)
            instance = self.ada.GetInstance(path, LocalOnly=False)
            self.assertEqual(instance["CreationClassName"], name)
            self.assertTrue(instance["Started"])
        found = {i.classname for i in self.ada.EnumerateInstances("CIM_Service", DeepInheritance=True)}
        self.assertLessEqual({"Msvm_ImageManagementService", "Msvm_VirtualSystemManagementService"}, found)


class ModelV1(Model, Case):
    namespace = V1


class ModelV2(Model, Case):
    namespace = V2

    def test_nothing_of_a_v2_job_is_writable(self):
        job = self.ada.GetClass("Msvm_ConcreteJob", LocalOnly=False)
        for prop in job.properties.values():
            write = prop.qualifiers.get("Write")
            self.assertFalse(write is not None and write.value, prop.name)
