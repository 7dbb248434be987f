//! The elements and attributes of DSP0201 2.4.

macro_rules! tags {
    ($($tag:ident $name:literal,)*) => {
        /// An element of DSP0201.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Tag { $($tag,)* }

        impl Tag {
            /// The element with this name; element names are case-sensitive.
            pub(super) fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$tag),)* _ => None }
            }

            /// The name as it stands in XML.
            pub(super) fn name(self) -> &'static str {
                match self { $(Self::$tag => $name,)* }
            }
        }
    };
}

tags! {
    Cim "CIM",
    Message "MESSAGE",
    SimpleReq "SIMPLEREQ",
    MultiReq "MULTIREQ",
    SimpleRsp "SIMPLERSP",
    MultiRsp "MULTIRSP",
    SimpleExpReq "SIMPLEEXPREQ",
    MultiExpReq "MULTIEXPREQ",
    SimpleExpRsp "SIMPLEEXPRSP",
    MultiExpRsp "MULTIEXPRSP",
    MethodCall "METHODCALL",
    MethodResponse "METHODRESPONSE",
    IMethodCall "IMETHODCALL",
    IMethodResponse "IMETHODRESPONSE",
    ExpMethodCall "EXPMETHODCALL",
    ExpMethodResponse "EXPMETHODRESPONSE",
    ParamValue "PARAMVALUE",
    IParamValue "IPARAMVALUE",
    ExpParamValue "EXPPARAMVALUE",
    ReturnValue "RETURNVALUE",
    IReturnValue "IRETURNVALUE",
    Error "ERROR",
    Correlator "CORRELATOR",
    Class "CLASS",
    Instance "INSTANCE",
    Property "PROPERTY",
    PropertyArray "PROPERTY.ARRAY",
    PropertyReference "PROPERTY.REFERENCE",
    Method "METHOD",
    Parameter "PARAMETER",
    ParameterArray "PARAMETER.ARRAY",
    ParameterReference "PARAMETER.REFERENCE",
    ParameterRefArray "PARAMETER.REFARRAY",
    Qualifier "QUALIFIER",
    QualifierDeclaration "QUALIFIER.DECLARATION",
    Scope "SCOPE",
    Value "VALUE",
    ValueArray "VALUE.ARRAY",
    ValueNull "VALUE.NULL",
    ValueReference "VALUE.REFERENCE",
    ValueRefArray "VALUE.REFARRAY",
    ValueObject "VALUE.OBJECT",
    ValueNamedInstance "VALUE.NAMEDINSTANCE",
    ValueInstanceWithPath "VALUE.INSTANCEWITHPATH",
    ValueObjectWithPath "VALUE.OBJECTWITHPATH",
    ValueObjectWithLocalPath "VALUE.OBJECTWITHLOCALPATH",
    ValueNamedObject "VALUE.NAMEDOBJECT",
    NamespacePath "NAMESPACEPATH",
    LocalNamespacePath "LOCALNAMESPACEPATH",
    Host "HOST",
    Namespace "NAMESPACE",
    ClassName "CLASSNAME",
    ClassPath "CLASSPATH",
    LocalClassPath "LOCALCLASSPATH",
    InstancePath "INSTANCEPATH",
    LocalInstancePath "LOCALINSTANCEPATH",
    InstanceName "INSTANCENAME",
    KeyBinding "KEYBINDING",
    KeyValue "KEYVALUE",
    ObjectPath "OBJECTPATH",
    Declaration "DECLARATION",
    DeclGroup "DECLGROUP",
}

impl Tag {
    /// Whether the element holds text and no elements.
    pub(super) fn is_text(self) -> bool {
        matches!(self, Self::Value | Self::KeyValue | Self::Host)
    }
}

macro_rules! attributes {
    ($($attr:ident $($name:literal)|+,)*) => {
        /// An attribute of DSP0201. Others are read over: clients add `xml:lang` and namespace declarations.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Attr { $($attr,)* }

        impl Attr {
            /// The attribute with this name.
            pub(super) fn from_name(name: &str) -> Option<Self> {
                match name { $($($name)|+ => Some(Self::$attr),)* _ => None }
            }

            /// The name as it stands in XML.
            pub(super) fn name(self) -> &'static str {
                match self { $(Self::$attr => [$($name),+][0],)* }
            }
        }
    };
}

attributes! {
    Name "NAME",
    ClassName "CLASSNAME",
    Type "TYPE",
    ParamType "PARAMTYPE",
    ValueType "VALUETYPE",
    // The capitals are an old spelling that some peers still send.
    EmbeddedObject "EmbeddedObject" | "EMBEDDEDOBJECT",
    Id "ID",
    ProtocolVersion "PROTOCOLVERSION",
    CimVersion "CIMVERSION",
    DtdVersion "DTDVERSION",
    Code "CODE",
    Description "DESCRIPTION",
    Superclass "SUPERCLASS",
    ClassOrigin "CLASSORIGIN",
    Propagated "PROPAGATED",
    ReferenceClass "REFERENCECLASS",
    ArraySize "ARRAYSIZE",
    IsArray "ISARRAY",
    Overridable "OVERRIDABLE",
    ToSubclass "TOSUBCLASS",
    ToInstance "TOINSTANCE",
    Translatable "TRANSLATABLE",
    ScopeClass "CLASS",
    ScopeAssociation "ASSOCIATION",
    ScopeIndication "INDICATION",
    ScopeProperty "PROPERTY",
    ScopeReference "REFERENCE",
    ScopeMethod "METHOD",
    ScopeParameter "PARAMETER",
}
