//! What qemu-img can be asked, in types, and the arguments that come of it.

use std::ffi::OsString;

use super::failure::{FailureContext, FileRole};
use super::process::EngineSpec;
use super::sandbox::{FileAccess, Grant};
use crate::disk::image::{ImageFormat, Subformat};
use crate::disk::roots::{FileError, ResolvedPath, TempName};

/// A file for the engine: the path it is told, and the open file that its right to open it hangs on.
#[derive(Debug, Clone)]
pub struct EngineFile {
    path: String,
    grant: Grant,
}

impl EngineFile {
    /// A file at an absolute path that is already open.
    pub fn new(path: impl Into<String>, grant: Grant) -> Self {
        Self { path: path.into(), grant }
    }

    /// An existing file, to be read only.
    ///
    /// # Errors
    /// Those of [`ResolvedPath::open_read`].
    pub fn source(place: &ResolvedPath) -> Result<Self, FileError> {
        Ok(Self::new(place.real_path(), Grant::new(place.open_read()?, FileAccess::Read)))
    }

    /// An existing file, to be changed where it is.
    ///
    /// # Errors
    /// Those of [`ResolvedPath::open_read_write`].
    pub fn in_place(place: &ResolvedPath) -> Result<Self, FileError> {
        Ok(Self::new(place.real_path(), Grant::new(place.open_read_write()?, FileAccess::ReadWrite)))
    }

    /// The unfinished file of a job, created empty. The engine writes into it and may create nothing itself.
    /// `owner` is the user of the engine's policy.
    ///
    /// # Errors
    /// Those of [`ResolvedPath::create_temp`].
    pub fn target(
        place: &ResolvedPath,
        temp: &TempName,
        owner: Option<(u32, u32)>,
    ) -> Result<Self, FileError> {
        let file = place.create_temp(temp, owner)?;
        Ok(Self::new(place.temp_path(temp), Grant::new(file, FileAccess::ReadWrite)))
    }

    /// The unfinished file of a job that exists already.
    ///
    /// # Errors
    /// Those of [`ResolvedPath::open_temp`].
    pub fn unfinished(place: &ResolvedPath, temp: &TempName) -> Result<Self, FileError> {
        Ok(Self::new(place.temp_path(temp), Grant::new(place.open_temp(temp)?, FileAccess::ReadWrite)))
    }

    /// The absolute path.
    pub fn path(&self) -> &str {
        &self.path
    }
}

/// How a new image is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageLayout {
    /// The format.
    pub format: ImageFormat,
    /// Fixed or dynamic. A fixed VHD or VHDX is only laid out so: the caller allocates its space afterwards.
    pub subformat: Subformat,
    /// The unit of allocation in bytes, for VHDX and qcow2. `None` leaves it to the engine.
    pub block_size_bytes: Option<u64>,
}

/// A new image.
#[derive(Debug, Clone)]
pub struct CreateRequest {
    /// Where it is made; the file exists already and is empty.
    pub target: EngineFile,
    /// Its layout.
    pub layout: ImageLayout,
    /// The size of the disk a machine will see, in bytes.
    pub virtual_size_bytes: u64,
    /// The image it is based on. Only qcow2 can have one.
    pub backing: Option<(EngineFile, ImageFormat)>,
}

/// A new image with the content of another.
#[derive(Debug, Clone)]
pub struct ConvertRequest {
    /// The image to read.
    pub source: EngineFile,
    /// Its format, which is never guessed.
    pub source_format: ImageFormat,
    /// Read only that many bytes from the start of the disk. The caller has proved that the rest is unused.
    pub only_first_bytes: Option<u64>,
    /// The images the source is based on, and what they are based on.
    pub backing: Vec<EngineFile>,
    /// Where it is made.
    pub target: EngineFile,
    /// Its layout.
    pub layout: ImageLayout,
    /// The target is an image already, made by a [`CreateRequest`], at least as large as the source and all zeros; it
    /// is only filled. This is how a VHD or VHDX grows.
    pub into_existing: bool,
    /// The largest size the file may get, in bytes.
    pub max_file_bytes: Option<u64>,
}

/// Two images whose content is compared.
#[derive(Debug, Clone)]
pub struct CompareRequest {
    /// One image and its format.
    pub left: (EngineFile, ImageFormat),
    /// The other image and its format.
    pub right: (EngineFile, ImageFormat),
    /// The images they are based on.
    pub backing: Vec<EngineFile>,
}

/// The end of a disk that may be cut off if nothing is in it.
#[derive(Debug, Clone)]
pub struct TailRequest {
    /// The image.
    pub image: EngineFile,
    /// Its format.
    pub format: ImageFormat,
    /// The images it is based on.
    pub backing: Vec<EngineFile>,
    /// Where the end begins, in bytes; a multiple of 512.
    pub from_byte: u64,
    /// The size of the whole disk in bytes.
    pub virtual_size_bytes: u64,
}

/// What a check may repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// Nothing.
    None,
    /// Space that belongs to nothing.
    Leaks,
    /// Everything, which may lose data; replays the log of a VHDX.
    All,
}

/// What a [`super::QemuImg::measure`] is about.
#[derive(Debug, Clone)]
pub enum MeasureSource {
    /// An existing image that is to be converted.
    Image(EngineFile, ImageFormat),
    /// An empty disk of this size in bytes.
    Empty(u64),
}

/// Arguments, grants and the context for failures, growing together.
#[derive(Default)]
pub(super) struct Invocation {
    pub(super) spec: EngineSpec,
    pub(super) context: FailureContext,
}

impl Invocation {
    pub(super) fn new<const N: usize>(args: [&str; N]) -> Self {
        Self::default().args(args)
    }

    pub(super) fn args<const N: usize>(mut self, args: [&str; N]) -> Self {
        self.spec.args.extend(args.map(OsString::from));
        self
    }

    pub(super) fn arg_if(self, condition: bool, arg: &str) -> Self {
        if condition { self.args([arg]) } else { self }
    }

    pub(super) fn with_progress(mut self) -> Self {
        self.spec.reports_progress = true;
        self.args(["-p"])
    }

    /// Lets the engine open a file, without naming it.
    pub(super) fn grant(
        mut self,
        file: &EngineFile,
        role: FileRole,
        format: impl Into<Option<ImageFormat>>,
    ) -> Self {
        self.spec.grants.push(file.grant.clone());
        self.context = self.context.with_file(file.path.as_str(), role, format);
        self
    }

    /// Names a file and lets the engine open it. The paths are absolute, so none can be taken for an option or a URL.
    pub(super) fn file(self, file: &EngineFile, role: FileRole, format: ImageFormat) -> Self {
        self.args([&file.path]).grant(file, role, format)
    }

    pub(super) fn backing(self, files: &[EngineFile]) -> Self {
        files.iter().fold(self, |invocation, file| invocation.grant(file, FileRole::Backing, None))
    }
}

impl CreateRequest {
    pub(super) fn invocation(&self) -> Invocation {
        let mut invocation = Invocation::new(["create", "-q", "-f", self.layout.format.engine_name()]);
        if let Some(options) = self.layout.options() {
            invocation = invocation.args(["-o", &options]);
        }
        if let Some((file, format)) = &self.backing {
            invocation = invocation.args(["-b", &file.path, "-F", format.engine_name()]).grant(
                file,
                FileRole::Backing,
                *format,
            );
        }
        invocation
            .file(&self.target, FileRole::Target, self.layout.format)
            .args([&self.virtual_size_bytes.to_string()])
    }
}

impl ConvertRequest {
    /// Caching stays at the engine's default, which never flushes the target: whoever publishes the file syncs it once.
    pub(super) fn invocation(&self) -> Invocation {
        let mut invocation = Invocation::new(["convert"]).with_progress();
        if self.into_existing {
            invocation = invocation.args(["-n", "--target-is-zero"]);
        } else if let Some(options) = self.layout.options() {
            invocation = invocation.args(["-o", &options]);
        }
        invocation = match self.only_first_bytes {
            // The description names its formats itself, so `-f` would only contradict it.
            Some(bytes) => invocation
                .args(["-O", self.layout.format.engine_name()])
                .args([&window(&self.source, self.source_format, 0, bytes)])
                .grant(&self.source, FileRole::Source, self.source_format),
            None => invocation
                .args(["-f", self.source_format.engine_name(), "-O", self.layout.format.engine_name()])
                .file(&self.source, FileRole::Source, self.source_format),
        };
        invocation.spec.max_file_bytes = self.max_file_bytes;
        invocation.backing(&self.backing).file(&self.target, FileRole::Target, self.layout.format)
    }
}

impl CompareRequest {
    pub(super) fn invocation(&self) -> Invocation {
        let ((left, left_format), (right, right_format)) = (&self.left, &self.right);
        Invocation::new(["compare"])
            .with_progress()
            .args(["-f", left_format.engine_name(), "-F", right_format.engine_name()])
            .file(left, FileRole::Source, *left_format)
            .file(right, FileRole::Source, *right_format)
            .backing(&self.backing)
    }
}

impl TailRequest {
    /// Compares the end with a disk of zeros of the same size, which the engine makes up.
    pub(super) fn invocation(&self) -> Invocation {
        let bytes = self.virtual_size_bytes.saturating_sub(self.from_byte);
        let zeros = serde_json::json!({ "driver": "null-co", "size": bytes, "read-zeroes": true });
        Invocation::new(["compare"])
            .with_progress()
            .args([&window(&self.image, self.format, self.from_byte, bytes), &format!("json:{zeros}")])
            .grant(&self.image, FileRole::Source, self.format)
            .backing(&self.backing)
    }
}

impl ImageLayout {
    /// The value of `-o`.
    fn options(&self) -> Option<String> {
        let mut options: Vec<String> = match (self.format, self.subformat) {
            // Without `force_size` the size is rounded to what old disk geometries can express.
            (ImageFormat::Vhd, Subformat::Fixed) => vec!["subformat=fixed".into(), "force_size=on".into()],
            (ImageFormat::Vhd, Subformat::Dynamic) => {
                vec!["subformat=dynamic".into(), "force_size=on".into()]
            }
            // Without `block_state_zero=off` the blocks of a fixed file move to its end when they are written.
            (ImageFormat::Vhdx, Subformat::Fixed) => {
                vec!["subformat=fixed".into(), "block_state_zero=off".into()]
            }
            (ImageFormat::Vhdx, Subformat::Dynamic) => vec!["subformat=dynamic".into()],
            (ImageFormat::Qcow2 | ImageFormat::Raw, Subformat::Fixed) => vec!["preallocation=falloc".into()],
            (ImageFormat::Qcow2 | ImageFormat::Raw, Subformat::Dynamic) => vec![],
        };
        match (self.format, self.block_size_bytes) {
            (ImageFormat::Vhdx, Some(bytes)) => options.push(format!("block_size={bytes}")),
            (ImageFormat::Qcow2, Some(bytes)) => options.push(format!("cluster_size={bytes}")),
            (ImageFormat::Vhd | ImageFormat::Raw, _) | (_, None) => {}
        }
        (!options.is_empty()).then(|| options.join(","))
    }
}

impl Repair {
    pub(super) fn argument(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Leaks => Some("leaks"),
            Self::All => Some("all"),
        }
    }
}

/// A part of a disk as a disk of its own.
fn window(file: &EngineFile, format: ImageFormat, from_byte: u64, bytes: u64) -> String {
    let description = serde_json::json!({
        "driver": "raw",
        "offset": from_byte,
        "size": bytes,
        "file": { "driver": format.engine_name(), "file": { "driver": "file", "filename": file.path } },
    });
    format!("json:{description}")
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn file(path: &str) -> EngineFile {
        EngineFile::new(path, Grant::new(File::open("/dev/null").expect("opens"), FileAccess::Read))
    }

    fn arguments(invocation: &Invocation) -> String {
        let words: Vec<_> = invocation.spec.args.iter().map(|arg| arg.to_string_lossy()).collect();
        words.join(" ")
    }

    fn layout(format: ImageFormat, subformat: Subformat) -> ImageLayout {
        ImageLayout { format, subformat, block_size_bytes: None }
    }

    #[test]
    fn every_layout_avoids_its_trap() {
        use ImageFormat::{Qcow2, Raw, Vhd, Vhdx};
        use Subformat::{Dynamic, Fixed};
        for (format, subformat, options) in [
            (Vhd, Fixed, Some("subformat=fixed,force_size=on")),
            (Vhd, Dynamic, Some("subformat=dynamic,force_size=on")),
            (Vhdx, Fixed, Some("subformat=fixed,block_state_zero=off")),
            (Vhdx, Dynamic, Some("subformat=dynamic")),
            (Raw, Fixed, Some("preallocation=falloc")),
            (Raw, Dynamic, None),
            (Qcow2, Dynamic, None),
        ] {
            assert_eq!(layout(format, subformat).options().as_deref(), options, "{format} {subformat:?}");
        }
        let sized = ImageLayout { block_size_bytes: Some(1 << 20), ..layout(Vhdx, Dynamic) };
        assert_eq!(sized.options().as_deref(), Some("subformat=dynamic,block_size=1048576"));
    }

    #[test]
    fn conversions_always_name_both_formats() {
        let mut request = ConvertRequest {
            source: file("/r/a.vhd"),
            source_format: ImageFormat::Vhd,
            only_first_bytes: None,
            backing: vec![file("/r/base")],
            target: file("/r/.b.vhdx.1.cwpart"),
            layout: layout(ImageFormat::Vhdx, Subformat::Dynamic),
            into_existing: false,
            max_file_bytes: Some(7),
        };
        let invocation = request.invocation();
        assert_eq!(
            arguments(&invocation),
            "convert -p -o subformat=dynamic -f vpc -O vhdx /r/a.vhd /r/.b.vhdx.1.cwpart"
        );
        assert_eq!(invocation.spec.grants.len(), 3);
        assert_eq!(invocation.spec.max_file_bytes, Some(7));
        assert!(invocation.spec.reports_progress);
        request.into_existing = true;
        assert_eq!(
            arguments(&request.invocation()),
            "convert -p -n --target-is-zero -f vpc -O vhdx /r/a.vhd /r/.b.vhdx.1.cwpart"
        );
        request.only_first_bytes = Some(4096);
        request.source = file("/r/a\"',b.vhd");
        let line = arguments(&request.invocation());
        assert!(line.contains(r#""filename":"/r/a\"',b.vhd""#) && line.contains(r#""size":4096"#), "{line}");
        assert!(!line.contains(" -f "), "{line}");
    }

    #[test]
    fn a_new_image_names_its_backing_file_and_format() {
        let request = CreateRequest {
            target: file("/r/o.qcow2"),
            layout: layout(ImageFormat::Qcow2, Subformat::Dynamic),
            virtual_size_bytes: 1 << 20,
            backing: Some((file("/r/base.vhdx"), ImageFormat::Vhdx)),
        };
        assert_eq!(
            arguments(&request.invocation()),
            "create -q -f qcow2 -b /r/base.vhdx -F vhdx /r/o.qcow2 1048576"
        );
    }
}
