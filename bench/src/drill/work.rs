//! What the clients ask for, and what must be true of the files afterwards.

use super::Drill;
use super::site::{Image, TEMPLATE_SIZE};
use crate::failure::{Failure, Result};
use crate::ports::Addresses;
use crate::qemu::Format;
use crate::rng::Rng;
use crate::server;
use cimwright_cim::{Instance, InstancePath, NamespaceName, Param, Value};
use cimwright_client::Client;
use std::path::Path;

const MIB: u64 = 1 << 20;

/// A kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
pub(crate) enum Kind {
    CreateFixed,
    CreateDynamic,
    Convert,
    ConvertFixed,
    /// The source is damaged: the job has to fail.
    ConvertDamaged,
    /// The target exists: the call has to be refused, with a job that tells why.
    ConvertOnto,
    Validate,
    Compact,
    Resize,
    DemoComplete,
    DemoFail,
}

/// Which of Hyper-V's two namespaces is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub(crate) enum Version {
    V1,
    V2,
}

/// Something to ask for.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    /// What it is.
    pub(crate) kind: Kind,
    /// Where it is asked for.
    pub(crate) version: Version,
    /// The method.
    pub(crate) method: &'static str,
    /// Its parameters.
    pub(crate) params: Vec<Param>,
    /// What it does to files.
    pub(crate) effect: Effect,
}

/// What a job does to files.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    /// Nothing.
    None,
    /// Completed: the image is there with this content and size. Otherwise: it is not there.
    New {
        target: Image,
        like: Image,
        /// The size of the disk in bytes, if it is known.
        size: Option<u64>,
        /// Its space is reserved.
        fixed: bool,
    },
    /// The content is the same whatever happened. The size of the disk is `after` if Completed, else `before`.
    Changed { image: Image, like: Image, before: u64, after: u64 },
}

/// The paths of the services that are called.
#[derive(Clone, Debug)]
pub(crate) struct Services {
    image: [InstancePath; 2],
    demo: [InstancePath; 2],
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Self; 11] = [
        Self::CreateFixed,
        Self::CreateDynamic,
        Self::Convert,
        Self::ConvertFixed,
        Self::ConvertDamaged,
        Self::ConvertOnto,
        Self::Validate,
        Self::Compact,
        Self::Resize,
        Self::DemoComplete,
        Self::DemoFail,
    ];

    /// How it is called in the summary.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CreateFixed => "create fixed",
            Self::CreateDynamic => "create dynamic",
            Self::Convert => "convert",
            Self::ConvertFixed => "convert to fixed",
            Self::ConvertDamaged => "convert damaged",
            Self::ConvertOnto => "convert onto existing",
            Self::Validate => "validate",
            Self::Compact => "compact",
            Self::Resize => "resize",
            Self::DemoComplete => "demo, completes",
            Self::DemoFail => "demo, fails",
        }
    }

    /// Whether it can end well.
    pub(crate) fn may_complete(self) -> bool {
        !matches!(self, Self::ConvertDamaged | Self::ConvertOnto | Self::DemoFail)
    }

    /// Whether the call itself has to be refused.
    pub(crate) fn is_refused(self) -> bool {
        self == Self::ConvertOnto
    }

    fn is_demo(self) -> bool {
        matches!(self, Self::DemoComplete | Self::DemoFail)
    }
}

impl Version {
    /// The namespace.
    pub(crate) fn namespace(self) -> NamespaceName {
        NamespaceName::new(match self {
            Self::V1 => "root/virtualization",
            Self::V2 => "root/virtualization/v2",
        })
    }

    fn pick(rng: &mut Rng) -> Self {
        if rng.percent(50) { Self::V1 } else { Self::V2 }
    }
}

impl Services {
    /// Asks the server where its services are.
    pub(crate) async fn find(addresses: &Addresses) -> Result<Self> {
        let client = Client::connect(server::over_unix(addresses)).await?;
        let one = async |version: Version, class: &'static str| -> Result<InstancePath> {
            let found = client.enumerate_instance_names(&version.namespace(), class).await?;
            let mut path = found.into_iter().next().ok_or_else(|| Failure::Answer {
                asked: "where a service is",
                answered: format!("no instance of {class}"),
            })?;
            path.host = None;
            Ok(path)
        };
        let (image, demo) = ("Msvm_ImageManagementService", "Cimwright_DemoService");
        Ok(Self {
            image: [one(Version::V1, image).await?, one(Version::V2, image).await?],
            demo: [one(Version::V1, demo).await?, one(Version::V2, demo).await?],
        })
    }

    /// The service that does this work.
    pub(crate) fn of(&self, work: &Work) -> &InstancePath {
        let both = if work.kind.is_demo() { &self.demo } else { &self.image };
        match work.version {
            Version::V1 => &both[0],
            Version::V2 => &both[1],
        }
    }
}

impl Work {
    /// Something to do, with the files it needs.
    pub(crate) fn choose(drill: &Drill, rng: &mut Rng) -> Result<Self> {
        let kinds = [
            (26, Kind::Convert),
            (14, Kind::ConvertFixed),
            (8, Kind::CreateFixed),
            (9, Kind::CreateDynamic),
            (8, Kind::Validate),
            (8, Kind::Compact),
            (8, Kind::Resize),
            (7, Kind::DemoComplete),
            (5, Kind::DemoFail),
            (4, Kind::ConvertDamaged),
            (3, Kind::ConvertOnto),
        ];
        let kind = rng.weighted(&kinds, Kind::Convert);
        let version = Version::pick(rng);
        Ok(match kind {
            Kind::CreateFixed | Kind::CreateDynamic => Self::create(drill, rng, kind, version),
            Kind::Convert | Kind::ConvertFixed => {
                let source = drill.site.source(rng);
                Self::convert(drill, rng, kind, version, source, None)
            }
            Kind::ConvertDamaged => {
                Self::convert(drill, rng, kind, version, drill.site.damaged.clone(), None)
            }
            Kind::ConvertOnto => {
                let source = drill.site.source(rng);
                Self::convert(drill, rng, kind, version, source, Some(drill.site.copy_of_template()?))
            }
            Kind::Validate => {
                let image = &drill.site.template;
                let params = vec![Param::new("Path", text(&image.path))];
                let effect = Effect::None;
                Self { kind, version, method: "ValidateVirtualHardDisk", params, effect }
            }
            Kind::Compact => {
                let image = drill.site.copy_of_template()?;
                let params = vec![Param::new("Path", text(&image.path))];
                let effect = Effect::Changed {
                    image,
                    like: drill.site.template_content.clone(),
                    before: TEMPLATE_SIZE,
                    after: TEMPLATE_SIZE,
                };
                Self { kind, version, method: "CompactVirtualHardDisk", params, effect }
            }
            Kind::Resize => {
                let image = drill.site.copy_of_template()?;
                let after = TEMPLATE_SIZE + rng.between(1, 64) * MIB;
                let params = vec![
                    Param::new("Path", text(&image.path)),
                    Param::new("MaxInternalSize", Value::Uint64(after)),
                ];
                let method = match version {
                    Version::V1 => "ExpandVirtualHardDisk",
                    Version::V2 => "ResizeVirtualHardDisk",
                };
                let like = drill.site.template_content.clone();
                let effect = Effect::Changed { image, like, before: TEMPLATE_SIZE, after };
                Self { kind, version, method, params, effect }
            }
            Kind::DemoComplete | Kind::DemoFail => {
                let ending = if kind == Kind::DemoFail { "fail" } else { "complete" };
                let params = vec![
                    Param::new("Name", "Drill"),
                    Param::new("Steps", Value::Uint32(rng.between(1, 5) as u32)),
                    Param::new("DurationMilliseconds", Value::Uint64(rng.between(0, 80))),
                    Param::new("Ending", ending),
                    Param::new("Bytes", Value::Uint64(1 << 30)),
                ];
                Self { kind, version, method: "StartJob", params, effect: Effect::None }
            }
        })
    }

    fn create(drill: &Drill, rng: &mut Rng, kind: Kind, version: Version) -> Self {
        let fixed = kind == Kind::CreateFixed;
        let format = format_of_new(rng, fixed);
        let target = drill.site.new_image(format);
        let size = if fixed { rng.between(4, 48) } else { rng.between(8, 4096) } * MIB;
        let (method, params) = match version {
            Version::V1 => (
                if fixed { "CreateFixedVirtualHardDisk" } else { "CreateDynamicVirtualHardDisk" },
                vec![
                    Param::new("Path", text(&target.path)),
                    Param::new("MaxInternalSize", Value::Uint64(size)),
                ],
            ),
            Version::V2 => {
                let data = setting_data(&target, fixed).with("MaxInternalSize", Value::Uint64(size));
                ("CreateVirtualHardDisk", vec![setting_param(data, rng)])
            }
        };
        let effect = Effect::New { target, like: drill.site.zeros.clone(), size: Some(size), fixed };
        Self { kind, version, method, params, effect }
    }

    fn convert(
        drill: &Drill,
        rng: &mut Rng,
        kind: Kind,
        version: Version,
        source: Image,
        onto: Option<Image>,
    ) -> Self {
        let fixed = kind == Kind::ConvertFixed;
        let existing = onto.is_some();
        let target = onto.unwrap_or_else(|| drill.site.new_image(format_of_new(rng, fixed)));
        let source_param = Param::new("SourcePath", text(&source.path));
        let params = match version {
            Version::V1 => vec![
                source_param,
                Param::new("DestinationPath", text(&target.path)),
                Param::new("Type", Value::Uint16(if fixed { 2 } else { 3 })),
            ],
            Version::V2 => vec![source_param, setting_param(setting_data(&target, fixed), rng)],
        };
        let effect = if existing {
            let like = drill.site.template_content.clone();
            Effect::Changed { image: target, like, before: TEMPLATE_SIZE, after: TEMPLATE_SIZE }
        } else {
            Effect::New { target, like: source, size: None, fixed }
        };
        Self { kind, version, method: "ConvertVirtualHardDisk", params, effect }
    }
}

fn text(path: &Path) -> Value {
    Value::String(path.to_string_lossy().into_owned())
}

fn format_of_new(rng: &mut Rng, fixed: bool) -> Format {
    // There is no fixed qcow2.
    let qcow2 = if fixed { 0 } else { 2 };
    rng.weighted(
        &[(4, Format::Vhdx), (2, Format::Vhd), (2, Format::Raw), (qcow2, Format::Qcow2)],
        Format::Vhdx,
    )
}

fn setting_data(target: &Image, fixed: bool) -> Instance {
    let format = match target.format {
        Format::Vhd => Some(2),
        Format::Vhdx => Some(3),
        Format::Raw | Format::Qcow2 => None,
    };
    let data = Instance::new("Msvm_VirtualHardDiskSettingData")
        .with("Path", text(&target.path))
        .with("Type", Value::Uint16(if fixed { 2 } else { 3 }));
    match format {
        Some(format) => data.with("Format", Value::Uint16(format)),
        None => data,
    }
}

/// An embedded instance, or a plain string that holds one: clients send both.
fn setting_param(data: Instance, rng: &mut Rng) -> Param {
    let value =
        if rng.percent(50) { Value::Instance(Box::new(data)) } else { Value::InstanceText(Box::new(data)) };
    Param::new("VirtualDiskSettingData", value)
}
