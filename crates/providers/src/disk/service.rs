//! Msvm_ImageManagementService: one method, one place in `ImageManagement::call`.

use super::answers;
use super::engine::{EngineError, EngineFile, FailureCause};
use super::errors::{self, Names};
use super::image::{ImageFormat, ImageInfo, Subformat};
use super::jobs::compact::CompactOrder;
use super::jobs::convert::ConvertOrder;
use super::jobs::create::CreateOrder;
use super::jobs::resize::ResizeOrder;
use super::jobs::toolbox::engine_error;
use super::jobs::validate::ValidateOrder;
use super::jobs::{self, Toolbox};
use super::layout::StoredLayout;
use super::request::{self, DiskType};
use crate::hyper_v;
use crate::services::{ServiceIdentity, service_instance, service_path};
use async_trait::async_trait;
use cimwright_sdk::cim::{
    CimError, CimStatus, ClassName, DateTime, ErrorDetail, Instance, InstancePath, Param, Value,
};
use cimwright_sdk::jobs::Affected;
use cimwright_sdk::{
    Context, InstanceProvider, MethodCall, MethodOutcome, MethodProvider, NewJob, Order, Plugin, ServedClass,
};
use std::sync::Arc;

/// The class.
pub const CLASS: &str = "Msvm_ImageManagementService";

const EXCLUSIVE_USE: u16 = 2;
const PERFORMANCE_IMPACT: u16 = 3;
const CREATE: u16 = 5;

/// Msvm_StorageJob.JobType (v1: Type).
#[derive(Clone, Copy)]
#[repr(u16)]
enum JobType {
    Unknown = 0,
    Creation = 1,
    FloppyCreation = 2,
    Compaction = 3,
    Expansion = 4,
    Merging = 5,
    Conversion = 6,
    LoopbackMount = 7,
    GetInfo = 8,
    Validate = 9,
}

impl JobType {
    /// What a job of the type is called when there is no order to name it.
    fn title(self) -> &'static str {
        match self {
            Self::Unknown => "Disk operation",
            Self::Creation => "Create disk",
            Self::FloppyCreation => "Create floppy disk",
            Self::Compaction => "Compact disk",
            Self::Expansion => "Resize disk",
            Self::Merging => "Merge disk",
            Self::Conversion => "Convert disk",
            Self::LoopbackMount => "Attach disk",
            Self::GetInfo => "Describe disk",
            Self::Validate => "Validate disk",
        }
    }
}

/// The provider.
#[derive(Debug)]
pub struct ImageManagement {
    identity: ServiceIdentity,
    computer: String,
    tools: Arc<Toolbox>,
}

/// What a call comes to before it is known how the server answers it.
enum Decision {
    Job(NewJob),
    Answer(Vec<Param>),
    No(NewJob, ErrorDetail),
}

impl ImageManagement {
    /// What the provider brings to the server, in both namespaces.
    pub fn plugin(computer: &str, tools: Arc<Toolbox>) -> Plugin {
        let identity = ServiceIdentity::new(CLASS, "vhdsvc", computer);
        let kinds = jobs::kinds(&tools);
        let provider = Arc::new(Self { identity, computer: computer.to_owned(), tools });
        let classes = [hyper_v::v1(), hyper_v::v2()]
            .into_iter()
            .map(|namespace| ServedClass {
                namespace,
                class: CLASS.into(),
                instances: Some(Arc::clone(&provider) as Arc<dyn InstanceProvider>),
                methods: Some(Arc::clone(&provider) as Arc<dyn MethodProvider>),
            })
            .collect();
        Plugin {
            name: "disk images",
            classes,
            kinds,
            catalogues: vec![&errors::CATALOGUE],
            ..Plugin::default()
        }
    }

    async fn call(&self, context: Context<'_>, call: &MethodCall) -> Result<Decision, CimError> {
        call.check_lengths()?;
        let method = call.method.as_str();
        let is = |name: &str| call.method.is(name);
        if is("CreateDynamicVirtualHardDisk") || is("CreateFixedVirtualHardDisk") {
            let fixed = is("CreateFixedVirtualHardDisk");
            let (path, size) = (call.required_str("Path")?, call.required_u64("MaxInternalSize")?);
            return Ok(self.decide(path, JobType::Creation, self.create_v1(path, size, fixed)));
        }
        if is("CreateVirtualHardDisk") {
            let data = setting_data_of(call)?;
            let path = data.get_str("Path").unwrap_or_default().to_owned();
            return Ok(self.decide(&path, JobType::Creation, self.create_v2(data, method)));
        }
        if is("CreateVirtualFloppyDisk") {
            let path = call.required_str("Path")?;
            return Ok(self.decide(path, JobType::FloppyCreation, self.create_floppy(path)));
        }
        if is("ConvertVirtualHardDisk") {
            let source = call.required_str("SourcePath")?.to_owned();
            let planned = if call.get("VirtualDiskSettingData").is_some() {
                let data = setting_data_of(call)?;
                request::wanted(data, method).and_then(|w| self.convert(&source, &w.path, w.layout))
            } else {
                let (target, kind) = (call.required_str("DestinationPath")?, call.required_u64("Type")?);
                self.convert_v1(&source, target, kind, method)
            };
            return Ok(self.decide(&source, JobType::Conversion, planned));
        }
        if is("CompactVirtualHardDisk") {
            let path = call.required_str("Path")?;
            let planned = match call.u64("Mode") {
                None | Some(0..=4) => self.compact(path).await,
                Some(mode) => {
                    return Err(CimError::invalid_parameter(format!("Mode {mode} is not in 0 to 4")));
                }
            };
            return Ok(self.decide(path, JobType::Compaction, planned));
        }
        if is("ExpandVirtualHardDisk") || is("ResizeVirtualHardDisk") {
            let (path, size) = (call.required_str("Path")?, call.required_u64("MaxInternalSize")?);
            let planned = self.resize(path, size, is("ExpandVirtualHardDisk")).await;
            return Ok(self.decide(path, JobType::Expansion, planned));
        }
        if is("ValidateVirtualHardDisk") {
            let path = call.required_str("Path")?;
            return Ok(self.decide(path, JobType::Validate, self.validate(path)));
        }
        if is("GetVirtualHardDiskInfo")
            || is("GetVirtualHardDiskSettingData")
            || is("GetVirtualHardDiskState")
        {
            let path = call.required_str("Path")?;
            return match self.describe(context, path, method).await? {
                Ok(parameter) => Ok(Decision::Answer(vec![parameter])),
                Err(reason) => Ok(self.refuse(path, JobType::GetInfo, reason)),
            };
        }
        self.unsupported(call)
    }

    /// The methods that answer "Not Supported" with the reason.
    fn unsupported(&self, call: &MethodCall) -> Result<Decision, CimError> {
        let method = call.method.as_str();
        let paths =
            ["Path", "ChildPath", "SourcePath", "VHDSetPath", "VirtualHardDiskPath", "SelectionCriterion"];
        let first_path = paths
            .iter()
            .find_map(|name| call.str(name))
            .or_else(|| call.instance("VirtualDiskSettingData")?.get_str("Path"))
            .unwrap_or("no image")
            .to_owned();
        let (kind, reason) = match method {
            "CreateDifferencingVirtualHardDisk" => {
                (JobType::Creation, errors::differencing(&first_path, method))
            }
            "MergeVirtualHardDisk" => (JobType::Merging, errors::differencing(&first_path, method)),
            "ReconnectParentVirtualHardDisk" | "SetParentVirtualHardDisk" => {
                (JobType::Unknown, errors::differencing(&first_path, method))
            }
            "Mount" | "Unmount" | "AttachVirtualHardDisk" | "FindMountedStorageImageInstance" => {
                (JobType::LoopbackMount, errors::attaching(&first_path, method))
            }
            "ConvertVirtualHardDiskToVHDSet"
            | "DeleteVHDSnapshot"
            | "GetVHDSetInformation"
            | "GetVHDSnapshotInformation"
            | "OptimizeVHDSet"
            | "SetVHDSnapshotInformation"
            | "GetVirtualDiskChanges"
            | "ValidatePersistentReservationSupport" => {
                (JobType::Unknown, errors::vhd_sets(&first_path, method))
            }
            "SetVirtualHardDiskSettingData" => (JobType::Unknown, errors::setting_change(&first_path)),
            "StartService" | "StopService" | "RequestStateChange" => {
                (JobType::Unknown, errors::service_state(&first_path, method))
            }
            other => {
                return Err(CimError::new(
                    CimStatus::MethodNotAvailable,
                    format!("{CLASS} does not implement {other}"),
                ));
            }
        };
        Ok(self.refuse(&first_path, kind, reason))
    }

    fn create_v1(&self, path: &str, size: u64, fixed: bool) -> Result<Planned, ErrorDetail> {
        let format = request::format_of(path)?;
        let size = match size {
            0 if !fixed => request::DEFAULT_SIZE,
            other => request::exact_size(path, format, other)?,
        };
        let disk_type = if fixed { DiskType::Fixed } else { DiskType::Dynamic };
        self.create(path, request::layout(path, format, disk_type, 0)?, size)
    }

    fn create_v2(&self, data: &Instance, method: &str) -> Result<Planned, ErrorDetail> {
        let wanted = request::wanted(data, method)?;
        if wanted.size == 0 {
            return Err(errors::setting_missing(
                &wanted.path,
                "how large the disk is to be (MaxInternalSize)",
            ));
        }
        let size = request::size(&wanted.path, wanted.format, wanted.size)?;
        self.create(&wanted.path, wanted.layout, size)
    }

    fn create_floppy(&self, path: &str) -> Result<Planned, ErrorDetail> {
        let format = request::format_of(path)?;
        if format != ImageFormat::Raw {
            return Err(errors::format_mismatch(path, "a floppy, which is a raw image (.vfd)"));
        }
        let layout = request::layout(path, format, DiskType::Fixed, 0)?;
        let mut planned = self.create(path, layout, request::FLOPPY_SIZE)?;
        planned.description = format!("Create the virtual floppy disk {path}");
        Ok(planned)
    }

    fn create(&self, path: &str, layout: StoredLayout, size: u64) -> Result<Planned, ErrorDetail> {
        self.expect_free(path)?;
        let order = CreateOrder { path: path.to_owned(), layout, size };
        let description = format!("Create the virtual hard disk {path} of {size} bytes");
        Ok(Planned::new(&order, description).touches(path, CREATE))
    }

    fn convert_v1(
        &self,
        source: &str,
        target: &str,
        kind: u64,
        method: &str,
    ) -> Result<Planned, ErrorDetail> {
        let disk_type = DiskType::from_number(kind, target, method)?;
        let layout = request::layout(target, request::format_of(target)?, disk_type, 0)?;
        self.convert(source, target, layout)
    }

    fn convert(&self, source: &str, target: &str, layout: StoredLayout) -> Result<Planned, ErrorDetail> {
        let source_format = request::format_of(source)?;
        let from = self.tools.resolve(source)?;
        let to = self.tools.resolve(target)?;
        if from.real_path() == to.real_path() {
            return Err(errors::same_file(source));
        }
        from.open_read().map_err(|e| errors::file_failed(&e))?;
        self.expect_free(target)?;
        let order = ConvertOrder {
            source: source.to_owned(),
            source_format: source_format.into(),
            target: target.to_owned(),
            layout,
        };
        let kind = if layout.fixed { "fixed" } else { "dynamic" };
        let description = format!("Convert {source} to the {kind} disk {target}");
        Ok(Planned::new(&order, description).touches(source, PERFORMANCE_IMPACT).touches(target, CREATE))
    }

    async fn compact(&self, path: &str) -> Result<Planned, ErrorDetail> {
        let format = request::format_of(path)?;
        let info = self.tools.look_at(path, format).await?.info;
        let dynamic = info.subformat == Subformat::Dynamic && format != ImageFormat::Raw;
        if !dynamic {
            return Err(errors::compact_type(path));
        }
        let block_size = info.block_size_bytes.filter(|_| format == ImageFormat::Vhdx);
        let order = CompactOrder { path: path.to_owned(), format: format.into(), block_size };
        Ok(Planned::new(&order, format!("Compact {path}")).touches(path, EXCLUSIVE_USE))
    }

    async fn resize(&self, path: &str, size: u64, only_grow: bool) -> Result<Planned, ErrorDetail> {
        let format = request::format_of(path)?;
        let size = request::size(path, format, size)?;
        let info = self.tools.look_at(path, format).await?.info;
        let smaller = size < info.virtual_size_bytes;
        if smaller && only_grow {
            let least = info.virtual_size_bytes.next_multiple_of(512);
            return Err(errors::bad_size(
                path,
                &format!("the disk can only grow here, to at least {least} bytes"),
            ));
        }
        if smaller && format == ImageFormat::Vhd {
            return Err(errors::shrink_format(path));
        }
        let fixed = info.subformat == Subformat::Fixed && format != ImageFormat::Raw;
        let block_size = info.block_size_bytes.filter(|_| format == ImageFormat::Vhdx);
        let layout = StoredLayout { format: format.into(), fixed, block_size };
        let order = ResizeOrder { path: path.to_owned(), layout, size };
        Ok(Planned::new(&order, format!("Resize {path} to {size} bytes")).touches(path, EXCLUSIVE_USE))
    }

    fn validate(&self, path: &str) -> Result<Planned, ErrorDetail> {
        let format = request::format_of(path)?;
        let place = self.tools.resolve(path)?;
        place.open_read().map_err(|e| errors::file_failed(&e))?;
        let order = ValidateOrder { path: path.to_owned(), format: format.into() };
        Ok(Planned::new(&order, format!("Validate {path}")).touches(path, PERFORMANCE_IMPACT))
    }

    async fn describe(
        &self,
        context: Context<'_>,
        path: &str,
        method: &str,
    ) -> Result<Result<Param, ErrorDetail>, CimError> {
        let looked = match self.look_while_in_use(path).await {
            Ok(looked) => looked,
            Err(reason) => return Ok(Err(reason)),
        };
        let Looked { info, file, in_use, size, changed } = looked;
        let schema = context.schema;
        let (name, instance) = match method {
            "GetVirtualHardDiskInfo" => {
                ("Info", answers::virtual_hard_disk_info(schema, &info, size, in_use)?)
            }
            "GetVirtualHardDiskSettingData" => ("SettingData", answers::setting_data(schema, path, &info)?),
            _ => {
                // Of a VHDX the engine knows no allocation.
                let end = if in_use || info.has_parent || info.format == ImageFormat::Vhdx {
                    None
                } else {
                    // Not knowing the smallest size is no reason to withhold the rest.
                    self.tools.engine.data_end(&file, info.format, &[], 0).await.ok().flatten()
                };
                ("State", answers::state(schema, &info, size, in_use, end, changed)?)
            }
        };
        Ok(Ok(Param::new(name, Value::Instance(Box::new(instance)))))
    }

    /// Looks at an image that another program may be writing.
    async fn look_while_in_use(&self, path: &str) -> Result<Looked, ErrorDetail> {
        let opened = self.tools.open(path, request::format_of(path)?)?;
        let metadata = opened.place.metadata().map_err(|e| errors::file_failed(&e))?;
        let (asked, in_use) = match self.tools.ask(&opened, false).await {
            Err(EngineError::Failed(f)) if matches!(f.cause, FailureCause::SharedLockRefused { .. }) => {
                (self.tools.ask(&opened, true).await, true)
            }
            asked => (asked, false),
        };
        let info = asked.map_err(|e| engine_error(&e, &Names::one(path)))?;
        let seconds = u64::try_from(metadata.st_mtime).unwrap_or(0);
        let changed = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        Ok(Looked {
            info,
            file: opened.file,
            in_use,
            size: u64::try_from(metadata.st_size).unwrap_or(0),
            changed: Value::DateTime(DateTime::from_system_time(changed)),
        })
    }

    fn expect_free(&self, path: &str) -> Result<(), ErrorDetail> {
        let place = self.tools.resolve(path)?;
        match place.exists() {
            Ok(false) => Ok(()),
            Ok(true) => Err(errors::target_exists(path)),
            Err(error) => Err(errors::file_failed(&error)),
        }
    }

    fn decide(&self, path: &str, kind: JobType, planned: Result<Planned, ErrorDetail>) -> Decision {
        match planned {
            Ok(planned) => Decision::Job(self.job(kind, planned)),
            Err(reason) => self.refuse(path, kind, reason),
        }
    }

    fn refuse(&self, path: &str, kind: JobType, reason: ErrorDetail) -> Decision {
        let planned = Planned {
            kind: "",
            payload: String::new(),
            name: kind.title(),
            description: format!("{}, which was refused: {path}", kind.title()),
            touched: Vec::new(),
        };
        Decision::No(self.job(kind, planned), reason)
    }

    fn job(&self, kind: JobType, planned: Planned) -> NewJob {
        let affected = planned
            .touched
            .into_iter()
            .map(|(path, effect)| Affected { element: self.data_file(&path), effects: vec![effect] })
            .collect();
        NewJob {
            family: hyper_v::STORAGE,
            kind: planned.kind,
            payload: planned.payload,
            name: planned.name.to_owned(),
            caption: "Storage Job".to_owned(),
            description: planned.description,
            job_type: kind as u16,
            owning_element: Some(service_path(&self.identity)),
            affected,
            ..NewJob::default()
        }
    }

    /// The CIM_DataFile that an image is, for the associations.
    fn data_file(&self, path: &str) -> InstancePath {
        InstancePath::new(None, "CIM_DataFile")
            .with_key("CSCreationClassName", "Msvm_ComputerSystem")
            .with_key("CSName", self.computer.as_str())
            .with_key("FSCreationClassName", "CIM_FileSystem")
            .with_key("FSName", "storage roots")
            .with_key("CreationClassName", "CIM_DataFile")
            .with_key("Name", path)
    }
}

/// A job that can be started.
struct Planned {
    kind: &'static str,
    payload: String,
    name: &'static str,
    description: String,
    touched: Vec<(String, u16)>,
}

impl Planned {
    fn new<O: Order<Toolbox>>(order: &O, description: String) -> Self {
        Self { kind: O::KIND, payload: order.to_payload(), name: O::NAME, description, touched: Vec::new() }
    }

    fn touches(mut self, path: &str, effect: u16) -> Self {
        self.touched.push((path.to_owned(), effect));
        self
    }
}

struct Looked {
    info: ImageInfo,
    file: EngineFile,
    in_use: bool,
    size: u64,
    changed: Value,
}

fn setting_data_of(call: &MethodCall) -> Result<&Instance, CimError> {
    call.instance("VirtualDiskSettingData").ok_or_else(|| {
        CimError::invalid_parameter(format!(
            "{} needs the parameter VirtualDiskSettingData, an instance of Msvm_VirtualHardDiskSettingData",
            call.method
        ))
    })
}

#[async_trait]
impl InstanceProvider for ImageManagement {
    async fn enumerate(&self, context: Context<'_>, class: &ClassName) -> Result<Vec<Instance>, CimError> {
        Ok(service_instance(context.schema, class, &self.identity).into_iter().collect())
    }
}

#[async_trait]
impl MethodProvider for ImageManagement {
    async fn invoke(&self, context: Context<'_>, call: MethodCall) -> Result<MethodOutcome, CimError> {
        Ok(match self.call(context, &call).await? {
            Decision::Job(job) => MethodOutcome::Job(Box::new(job)),
            Decision::Answer(out) => MethodOutcome::Done { return_value: 0, out },
            Decision::No(job, reason) => {
                MethodOutcome::Refused { job: Box::new(job), reason: Box::new(reason) }
            }
        })
    }
}
