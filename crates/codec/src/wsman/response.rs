//! Answers that are no faults.

use super::enumeration::EnumerationMode;
use super::eventing::{Foreign, push_bookmark};
use super::fragment::Fragment;
use super::header::{Forms, Header};
use super::resource::ClassUris;
use super::time::Expiry;
use super::uris;
use super::write::Writer;
use cimwright_cim::{ClassName, Instance, Name, NamespaceName, ObjectPath, Param, Value};

/// What a server says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Who made it.
    pub vendor: String,
    /// Its version; strangers are told `0.0.0`.
    pub version: String,
    /// The security profiles it offers, as URIs.
    pub security_profiles: Vec<String>,
}

impl Identity {
    /// The answer to Identify, which has no addressing headers (DSP0226 11).
    pub fn encode(&self) -> Vec<u8> {
        let style = ClassUris::default();
        let mut writer = Writer::new(1024, &style, None);
        writer.envelope();
        writer.raw("<s:Header/><s:Body><wsmid:IdentifyResponse");
        writer.attr("xmlns:wsmid", uris::IDENTITY);
        writer.raw(">");
        writer.element("wsmid:ProtocolVersion", uris::WSMAN);
        writer.element("wsmid:ProductVendor", &self.vendor);
        writer.element("wsmid:ProductVersion", &self.version);
        if !self.security_profiles.is_empty() {
            writer.raw("<wsmid:SecurityProfiles>");
            for profile in &self.security_profiles {
                writer.element("wsmid:SecurityProfileName", profile);
            }
            writer.raw("</wsmid:SecurityProfiles>");
        }
        writer.raw("</wsmid:IdentifyResponse></s:Body></s:Envelope>");
        writer.out.into_bytes()
    }
}

/// Writes the answer to one request.
pub struct ResponseWriter<'a> {
    header: &'a Header,
    writer: Writer<'a>,
}

impl<'a> ResponseWriter<'a> {
    /// An answer to the request with this header. References that name no namespace are to `namespace`.
    pub fn new(header: &'a Header, message_id: &str, namespace: Option<&'a NamespaceName>) -> Self {
        Self::begin(header, message_id, namespace, None, None)
    }

    /// The same for events, with the bookmark of the last one.
    pub fn with_bookmark(
        header: &'a Header,
        message_id: &str,
        namespace: Option<&'a NamespaceName>,
        bookmark: Option<&Foreign>,
    ) -> Self {
        Self::begin(header, message_id, namespace, None, bookmark)
    }

    /// The same, with the number of items that an enumeration has in all, if it is known.
    pub fn with_total(
        header: &'a Header,
        message_id: &str,
        namespace: Option<&'a NamespaceName>,
        total: Option<u64>,
    ) -> Self {
        Self::begin(header, message_id, namespace, total, None)
    }

    fn begin(
        header: &'a Header,
        message_id: &str,
        namespace: Option<&'a NamespaceName>,
        total: Option<u64>,
        bookmark: Option<&Foreign>,
    ) -> Self {
        let mut writer = Writer::new(4096, &header.uris, namespace).with_forms(header.forms());
        writer.envelope();
        writer.raw("<s:Header>");
        writer.addressing(&header.action, "Response", message_id, &header.message_id);
        if let Some(fragment) = &header.fragment {
            writer.raw("<w:FragmentTransfer s:mustUnderstand=\"true\">");
            writer.text(&fragment.text);
            writer.raw("</w:FragmentTransfer>");
        }
        match total {
            _ if !header.wants_total => {}
            Some(total) => writer.element("w:TotalItemsCountEstimate", &total.to_string()),
            // Nobody counts ahead.
            None => writer.raw("<w:TotalItemsCountEstimate xsi:nil=\"true\"/>"),
        }
        push_bookmark(&mut writer, bookmark);
        writer.raw("</s:Header><s:Body>");
        Self { header, writer }
    }

    /// Nothing: Delete, Release, Unsubscribe.
    pub fn empty(self) -> Vec<u8> {
        self.end()
    }

    /// An instance: Get and Put.
    pub fn instance(mut self, instance: &Instance) -> Vec<u8> {
        self.writer.class_element(instance, None, "");
        self.end()
    }

    /// The part of an instance that a fragment names; nothing if there is no such part.
    pub fn fragment(mut self, fragment: &Fragment, instance: &Instance) -> Vec<u8> {
        self.writer.raw("<w:XmlFragment>");
        if let Some(part) = fragment.find(instance) {
            match (fragment.text_only, part.value) {
                (false, value) => self.writer.lone_property(part.within, part.name, value),
                (true, Some(Value::Array(items))) => {
                    items.iter().flatten().for_each(|item| self.writer.scalar(item));
                }
                (true, Some(value)) => self.writer.scalar(value),
                (true, None) => {}
            }
        }
        self.writer.raw("</w:XmlFragment>");
        self.end()
    }

    /// The reference to a new instance, served at `address`.
    pub fn created(mut self, path: &ObjectPath, address: &str) -> Vec<u8> {
        self.writer.raw("<x:ResourceCreated>");
        self.writer.epr(path, address);
        self.writer.raw("</x:ResourceCreated>");
        self.end()
    }

    /// What a method answers.
    pub fn method(mut self, method: &str, out: &[Param], return_value: Option<&Value>) -> Vec<u8> {
        let uri = self.header.resource_uri.as_deref().unwrap_or_default();
        self.writer.raw("<p:");
        self.writer.raw(method);
        self.writer.raw("_OUTPUT");
        self.writer.attr("xmlns:p", uri);
        self.writer.raw(">");
        for param in out {
            self.writer.named_value(&param.name, param.value.as_ref(), 0);
        }
        if return_value.is_some() {
            self.writer.named_value(&Name::new("ReturnValue"), return_value, 0);
        }
        self.writer.raw("</p:");
        self.writer.raw(method);
        self.writer.raw("_OUTPUT>");
        self.end()
    }

    /// A class in CIM-XML: GetClass.
    pub fn class_text(mut self, xml: &str) -> Vec<u8> {
        self.writer.raw(xml);
        self.end()
    }

    /// Enumerate. `items` are those of an optimised one, which says as well whether they are all: then there is no context.
    pub fn enumerated(
        mut self,
        expires: impl Into<Expiry>,
        context: &str,
        items: Option<ItemWriter<'_>>,
    ) -> Vec<u8> {
        self.writer.raw("<n:EnumerateResponse>");
        if !context.is_empty() {
            self.writer.element("n:Expires", &expires.into().to_string());
        }
        self.writer.element("n:EnumerationContext", context);
        if let Some(items) = items {
            // Not the namespace of WS-Enumeration, other than in the answer to Pull (DSP0226 8.2.3).
            self.writer.raw("<w:Items>");
            self.writer.raw(&items.writer.out);
            self.writer.raw("</w:Items>");
            if context.is_empty() {
                self.writer.raw("<w:EndOfSequence/>");
            }
        }
        self.writer.raw("</n:EnumerateResponse>");
        self.end()
    }

    /// Pull. Without a context, these are the last items.
    pub fn pulled(mut self, context: Option<&str>, items: &ItemWriter<'_>) -> Vec<u8> {
        self.writer.raw("<n:PullResponse>");
        if let Some(context) = context {
            self.writer.element("n:EnumerationContext", context);
        }
        self.writer.raw("<n:Items>");
        self.writer.raw(&items.writer.out);
        self.writer.raw("</n:Items>");
        if context.is_none() {
            self.writer.raw("<n:EndOfSequence/>");
        }
        self.writer.raw("</n:PullResponse>");
        self.end()
    }

    /// Renew and GetStatus of an enumeration; `name` is RenewResponse or GetStatusResponse.
    pub fn expires(mut self, name: &str, expires: impl Into<Expiry>) -> Vec<u8> {
        self.writer.raw("<n:");
        self.writer.raw(name);
        self.writer.raw(">");
        self.writer.element("n:Expires", &expires.into().to_string());
        self.writer.raw("</n:");
        self.writer.raw(name);
        self.writer.raw(">");
        self.end()
    }

    fn end(mut self) -> Vec<u8> {
        self.writer.raw("</s:Body></s:Envelope>");
        self.writer.out.into_bytes()
    }
}

/// Writes the items of an enumeration, so that it is known how much they take before they are sent.
pub struct ItemWriter<'a> {
    writer: Writer<'a>,
    mode: EnumerationMode,
    /// Whether the items are some properties of instances only.
    projected: bool,
    shown_as: Option<&'a ClassName>,
    count: usize,
}

impl<'a> ItemWriter<'a> {
    /// Items in the form that the enumeration asked for. `projected` is for queries that select properties, `shown_as` for
    /// instances of subclasses that are shown as their base class.
    pub fn new(
        uris: &'a ClassUris,
        namespace: Option<&'a NamespaceName>,
        mode: EnumerationMode,
        projected: bool,
        shown_as: Option<&'a ClassName>,
    ) -> Self {
        Self { writer: Writer::new(4096, uris, namespace), mode, projected, shown_as, count: 0 }
    }

    /// Writes instances in the forms that the request asks for.
    #[must_use]
    pub fn with_forms(mut self, forms: Forms) -> Self {
        self.writer = self.writer.with_forms(forms);
        self
    }

    /// How many bytes the items take.
    pub fn len(&self) -> usize {
        self.writer.out.len()
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many items there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// How many characters the items from `from` bytes on have.
    pub fn characters(&self, from: usize) -> usize {
        self.writer.out.get(from..).map_or(0, |s| s.chars().count())
    }

    /// Takes back what was written after the first `len` bytes: one item.
    pub fn take_back(&mut self, len: usize) {
        self.writer.out.truncate(len);
        self.count = self.count.saturating_sub(1);
    }

    /// Appends an instance.
    pub fn push(&mut self, instance: &Instance) {
        self.count += 1;
        let path = || match &instance.path {
            Some(path) => ObjectPath::Instance(path.clone()),
            None => ObjectPath::Class(cimwright_cim::ClassPath::new(None, &instance.class)),
        };
        match self.mode {
            EnumerationMode::Object => self.object(instance),
            EnumerationMode::Epr => self.epr(&path()),
            EnumerationMode::ObjectAndEpr => {
                self.writer.raw("<w:Item>");
                self.object(instance);
                self.epr(&path());
                self.writer.raw("</w:Item>");
            }
        }
    }

    /// Appends what says, among events that are fetched, that there are none but the source is there.
    pub fn push_heartbeat(&mut self) {
        self.count += 1;
        super::eventing::heartbeat(&mut self.writer);
    }

    /// Appends what stands, among events that are fetched, in the place of so many that were dropped.
    pub fn push_dropped(&mut self, count: u64) {
        self.count += 1;
        super::eventing::dropped(&mut self.writer, count);
    }

    fn object(&mut self, instance: &Instance) {
        if self.projected {
            self.writer.fragment_item(instance);
        } else {
            self.writer.class_element(instance, self.shown_as, "");
        }
    }

    fn epr(&mut self, path: &ObjectPath) {
        self.writer.raw("<a:EndpointReference>");
        self.writer.epr(path, uris::ANONYMOUS);
        self.writer.raw("</a:EndpointReference>");
    }
}
