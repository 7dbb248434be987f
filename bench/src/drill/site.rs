//! The images there are before anything happens.

use crate::content::{self, DENSE};
use crate::failure::{Failure, Result};
use crate::qemu::{self, Format};
use crate::rng::Rng;
use std::cell::Cell;
use std::path::{Path, PathBuf};

const MIB: u64 = 1 << 20;

/// An image file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// What it is.
    pub(crate) format: Format,
}

/// What a source of conversions costs and how often it is taken.
struct Size {
    bytes: u64,
    weight: u64,
}

/// From ten milliseconds to about a second of converting.
const SIZES: [Size; 5] = [
    Size { bytes: 2 * MIB, weight: 26 },
    Size { bytes: 8 * MIB, weight: 30 },
    Size { bytes: 32 * MIB, weight: 24 },
    Size { bytes: 96 * MIB, weight: 13 },
    Size { bytes: 256 * MIB, weight: 7 },
];

/// Beyond this only small sources are taken, so that the disk does not fill up.
const BUDGET: u64 = 10 << 30;

/// The size of the disk that is compacted and resized.
pub(crate) const TEMPLATE_SIZE: u64 = 48 * MIB;

/// The prepared images, and where new ones go.
pub(crate) struct Site {
    root: PathBuf,
    sources: Vec<Image>,
    /// A disk that is copied for every job that changes one in place.
    pub(crate) template: Image,
    /// Its content, raw.
    pub(crate) template_content: Image,
    /// A VHDX of which the end is missing.
    pub(crate) damaged: Image,
    /// Nothing but zeros, raw.
    pub(crate) zeros: Image,
    spent: Cell<u64>,
    names: Cell<u64>,
}

impl Site {
    /// Makes the images below `root`.
    pub(crate) async fn prepare(root: &Path, rng: &mut Rng) -> Result<Self> {
        for directory in ["in", "out"] {
            let path = root.join(directory);
            std::fs::create_dir_all(&path).map_err(Failure::io("create", &path))?;
        }
        let image = |name: &str, format| Image { path: root.join("in").join(name), format };
        let mut sources = Vec::new();
        for (index, size) in SIZES.iter().enumerate() {
            let source = image(&format!("source-{index}.raw"), Format::Raw);
            content::write_raw(&source.path, size.bytes, DENSE, rng.next_u64())?;
            sources.push(source);
        }
        // Two of them also in other formats, so that every direction is gone.
        let mut others = Vec::new();
        for (source, format) in [(1, Format::Vhdx), (2, Format::Vhdx), (1, Format::Qcow2), (1, Format::Vhd)] {
            let source: &Image = &sources[source];
            let name = source.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let other = image(&format!("{name}.{}", format.extension()), format);
            convert(source, &other).await?;
            others.push(other);
        }
        sources.extend(others);

        let template_content = image("template.raw", Format::Raw);
        content::write_raw(&template_content.path, 7 * MIB, DENSE, rng.next_u64())?;
        let file = std::fs::OpenOptions::new().write(true).open(&template_content.path);
        file.and_then(|f| f.set_len(TEMPLATE_SIZE)).map_err(Failure::io("size", &template_content.path))?;
        let template = image("template.vhdx", Format::Vhdx);
        convert(&template_content, &template).await?;

        let damaged = image("damaged.vhdx", Format::Vhdx);
        convert(&sources[1], &damaged).await?;
        let file = std::fs::OpenOptions::new().write(true).open(&damaged.path);
        file.and_then(|f| {
            let length = f.metadata()?.len();
            f.set_len(length * 6 / 10)
        })
        .map_err(Failure::io("cut", &damaged.path))?;

        let zeros = image("zeros.raw", Format::Raw);
        let file = std::fs::File::create(&zeros.path).and_then(|f| f.set_len(512));
        file.map_err(Failure::io("create", &zeros.path))?;
        Ok(Self {
            root: root.to_owned(),
            sources,
            template,
            template_content,
            damaged,
            zeros,
            spent: Cell::new(0),
            names: Cell::new(0),
        })
    }

    /// The directory that the server may work in.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A source of a conversion.
    pub(crate) fn source(&self, rng: &mut Rng) -> Image {
        let affordable = if self.spent.get() < BUDGET { SIZES.len() } else { 2 };
        let index = if rng.percent(25) {
            rng.between(SIZES.len() as u64, self.sources.len() as u64 - 1) as usize
        } else {
            let choices: Vec<_> =
                SIZES.iter().enumerate().map(|(index, size)| (size.weight, index)).collect();
            rng.weighted(&choices[..affordable], 0)
        };
        let bytes = SIZES.get(index).map_or(8 * MIB, |size| size.bytes);
        self.spent.set(self.spent.get() + bytes);
        self.sources[index].clone()
    }

    /// The name of an image that is not there yet.
    pub(crate) fn new_image(&self, format: Format) -> Image {
        let number = self.names.get();
        self.names.set(number + 1);
        Image { path: self.root.join("out").join(format!("{number:05}.{}", format.extension())), format }
    }

    /// A copy of the template under a name of its own.
    pub(crate) fn copy_of_template(&self) -> Result<Image> {
        let copy = self.new_image(self.template.format);
        std::fs::copy(&self.template.path, &copy.path).map_err(Failure::io("write", &copy.path))?;
        Ok(copy)
    }
}

async fn convert(from: &Image, to: &Image) -> Result<()> {
    let (source, target) = (from.path.to_string_lossy(), to.path.to_string_lossy());
    let mut arguments = vec!["convert", "-f", from.format.engine_name(), "-O", to.format.engine_name()];
    if to.format == Format::Vhd {
        // Without it the size is rounded to what old disk geometries can express.
        arguments.extend(["-o", "force_size=on"]);
    }
    arguments.extend([&*source, &*target]);
    qemu::run(&arguments).await.map(drop)
}
