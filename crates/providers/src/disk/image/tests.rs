use proptest::prelude::*;

use super::bytes::ReadAt;
use super::*;

/// A VHD footer with its checksum.
fn footer(kind: u32) -> [u8; 512] {
    let mut footer = [0; 512];
    footer[..8].copy_from_slice(b"conectix");
    footer[12..16].copy_from_slice(&0x0001_0000u32.to_be_bytes());
    footer[16..24].copy_from_slice(&512u64.to_be_bytes());
    footer[28..32].copy_from_slice(b"test");
    footer[40..48].copy_from_slice(&4096u64.to_be_bytes());
    footer[48..56].copy_from_slice(&8192u64.to_be_bytes());
    footer[60..64].copy_from_slice(&kind.to_be_bytes());
    footer[68..84].copy_from_slice(&[0x11; 16]);
    seal(&mut footer, 64);
    footer
}

fn seal(structure: &mut [u8], field: usize) {
    structure[field..field + 4].fill(0);
    let sum: u32 = structure.iter().map(|&byte| u32::from(byte)).sum();
    structure[field..field + 4].copy_from_slice(&(!sum).to_be_bytes());
}

fn dynamic_vhd(kind: u32) -> Vec<u8> {
    let mut header = [0; 1024];
    header[..8].copy_from_slice(b"cxsparse");
    header[32..36].copy_from_slice(&(2u32 << 20).to_be_bytes());
    header[40..56].copy_from_slice(&[0x22; 16]);
    seal(&mut header, 36);
    [&footer(kind)[..], &header, &footer(kind)].concat()
}

fn seal_crc(structure: &mut [u8]) {
    structure[4..8].fill(0);
    let crc = vhdx::crc32c(structure);
    structure[4..8].copy_from_slice(&crc.to_le_bytes());
}

/// Fields of a VHDX that the tests vary.
struct Vhdx {
    block_size: u32,
    flags: u32,
    size: u64,
    log: [u8; 16],
    /// Sequence numbers of the two headers; nothing makes a damaged one.
    sequences: [Option<u64>; 2],
}

impl Default for Vhdx {
    fn default() -> Self {
        Self { block_size: 1 << 20, flags: 0, size: 4 << 20, log: [0; 16], sequences: [Some(1), Some(2)] }
    }
}

impl Vhdx {
    fn build(&self) -> Vec<u8> {
        let mut file = vec![0; 1 << 20];
        file[..8].copy_from_slice(b"vhdxfile");
        for (index, sequence) in self.sequences.into_iter().enumerate() {
            let Some(sequence) = sequence else { continue };
            let header = &mut file[(64 << 10) * (index + 1)..][..4096];
            header[..4].copy_from_slice(b"head");
            header[8..16].copy_from_slice(&sequence.to_le_bytes());
            // Only the newer header speaks of a log, so that reading the older one is seen.
            if sequence == 2 {
                header[48..64].copy_from_slice(&self.log);
            }
            header[66] = 1;
            seal_crc(header);
        }
        let metadata_guid = guid_in_file("8B7CA206-4790-4B9A-B8FE-575F050F886E");
        for offset in [192 << 10, 256 << 10] {
            let table = &mut file[offset..][..64 << 10];
            table[..4].copy_from_slice(b"regi");
            table[8] = 1;
            table[16..32].copy_from_slice(&metadata_guid);
            table[32..40].copy_from_slice(&(512u64 << 10).to_le_bytes());
            seal_crc(table);
        }
        let items: [(&str, Vec<u8>); 5] = [
            (
                "CAA16737-FA36-4D43-B3B6-33F0AA44E76B",
                [self.block_size.to_le_bytes(), self.flags.to_le_bytes()].concat(),
            ),
            ("2FA54224-CD1B-4876-B211-5DBED83BF4B8", self.size.to_le_bytes().to_vec()),
            ("BECA12AB-B2E6-4523-93EF-C309E000C746", (1..=16).collect()),
            ("8141BF1D-A96F-4709-BA47-F233A8FAAB5F", 512u32.to_le_bytes().to_vec()),
            ("CDA348C7-445D-4471-9CC9-E9885251C556", 4096u32.to_le_bytes().to_vec()),
        ];
        let region = &mut file[512 << 10..];
        region[..8].copy_from_slice(b"metadata");
        region[10] = 5;
        for (index, (name, value)) in items.iter().enumerate() {
            let place = (64 << 10) + index * 16;
            let entry = &mut region[32 + index * 32..][..32];
            entry[..16].copy_from_slice(&guid_in_file(name));
            entry[16..20].copy_from_slice(&u32::try_from(place).expect("small").to_le_bytes());
            entry[20..24].copy_from_slice(&u32::try_from(value.len()).expect("small").to_le_bytes());
            region[place..place + value.len()].copy_from_slice(value);
        }
        file
    }
}

fn guid_in_file(text: &str) -> [u8; 16] {
    let digits: String = text.chars().filter(|&character| character != '-').collect();
    let mut bytes = [0; 16];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[index * 2..index * 2 + 2], 16).expect("hexadecimal");
    }
    bytes[..4].reverse();
    bytes[4..6].reverse();
    bytes[6..8].reverse();
    bytes
}

fn vhd(file: &[u8]) -> Result<VhdHeader, HeaderError> {
    VhdHeader::read(&file)
}

fn vhdx(file: &[u8]) -> Result<VhdxHeader, HeaderError> {
    VhdxHeader::read(&file)
}

#[test]
fn extensions_stand_for_formats() {
    for (path, format) in [
        ("/vms/a.vhd", Some(ImageFormat::Vhd)),
        ("C:\\VMs\\A.VHDX", Some(ImageFormat::Vhdx)),
        ("a.avhdx", Some(ImageFormat::Vhdx)),
        ("a.vpc", Some(ImageFormat::Vhd)),
        ("a.b.qcow2", Some(ImageFormat::Qcow2)),
        ("a.img", Some(ImageFormat::Raw)),
        ("a.vfd", Some(ImageFormat::Raw)),
        ("a.txt", None),
        ("/a.vhd/plain", None),
        ("vhd", None),
        ("", None),
    ] {
        assert_eq!(ImageFormat::from_path(path), format, "{path}");
    }
}

#[test]
fn the_three_kinds_of_vhd_are_told_apart() {
    let fixed = [&[7; 4096][..], &footer(2)].concat();
    let header = vhd(&fixed).expect("sound");
    assert_eq!((header.kind, header.subformat()), (VhdKind::Fixed, Subformat::Fixed));
    assert_eq!((header.original_size_bytes, header.current_size_bytes), (4096, 8192));
    assert_eq!(header.disk_id.to_string(), "11111111-1111-1111-1111-111111111111");
    assert_eq!((header.creator, header.block_size_bytes, header.parent_id), (*b"test", None, None));

    let header = vhd(&dynamic_vhd(3)).expect("sound");
    assert_eq!((header.kind, header.subformat()), (VhdKind::Dynamic, Subformat::Dynamic));
    assert_eq!((header.block_size_bytes, header.parent_id), (Some(2 << 20), None));
    let header = vhd(&dynamic_vhd(4)).expect("sound");
    assert_eq!(header.kind, VhdKind::Differencing);
    assert_eq!(header.parent_id, Some(DiskId([0x22; 16])));
}

#[test]
fn damaged_vhds_say_what_is_wrong() {
    let structure = "VHD footer";
    assert_eq!(vhd(&[0; 511]), Err(HeaderError::TooShort { structure }));
    assert_eq!(vhd(&[0; 4096]), Err(HeaderError::Signature { structure }));
    let mut wrong_sum = footer(2);
    wrong_sum[100] ^= 1;
    assert_eq!(vhd(&wrong_sum), Err(HeaderError::Checksum { structure }));
    assert_eq!(vhd(&footer(9)), Err(HeaderError::Field { structure, field: "disk type", value: 9 }));

    let structure = "VHD dynamic disk header";
    let mut broken = dynamic_vhd(3);
    broken[512] = b'X';
    assert_eq!(vhd(&broken), Err(HeaderError::Signature { structure }));
    let mut broken = dynamic_vhd(3);
    broken[1000] ^= 1;
    assert_eq!(vhd(&broken), Err(HeaderError::Checksum { structure }));
    assert_eq!(vhd(&dynamic_vhd(3)[..512]), Err(HeaderError::TooShort { structure }));
    // Cut off behind the headers: the copy at the start still tells what it was.
    let cut = &dynamic_vhd(3)[..1536];
    assert!(vhd(cut).expect("the copy is sound").from_copy);
}

#[test]
fn a_vhdx_tells_its_parameters() {
    let header = vhdx(&Vhdx::default().build()).expect("sound");
    let expected = VhdxHeader {
        virtual_size_bytes: 4 << 20,
        block_size_bytes: 1 << 20,
        leave_blocks_allocated: false,
        has_parent: false,
        disk_id: DiskId([4, 3, 2, 1, 6, 5, 8, 7, 9, 10, 11, 12, 13, 14, 15, 16]),
        logical_sector_bytes: 512,
        physical_sector_bytes: 4096,
        log_pending: false,
    };
    assert_eq!(header, expected);
    assert_eq!(header.disk_id.to_string(), "04030201-0605-0807-090A-0B0C0D0E0F10");
    let fixed = vhdx(&Vhdx { flags: 1, ..Vhdx::default() }.build()).expect("sound");
    assert_eq!((fixed.subformat(), fixed.has_parent), (Subformat::Fixed, false));
    let child = vhdx(&Vhdx { flags: 2, ..Vhdx::default() }.build()).expect("sound");
    assert_eq!((child.subformat(), child.has_parent), (Subformat::Dynamic, true));
}

#[test]
fn the_newer_valid_header_of_a_vhdx_counts() {
    let log = [1; 16];
    for (sequences, pending) in [
        ([Some(1), Some(2)], true),
        ([Some(2), Some(1)], true),
        ([Some(3), Some(2)], false),
        ([None, Some(2)], true),
        ([Some(1), None], false),
    ] {
        let header = vhdx(&Vhdx { log, sequences, ..Vhdx::default() }.build()).expect("one is sound");
        assert_eq!(header.log_pending, pending, "{sequences:?}");
    }
    let neither = vhdx(&Vhdx { sequences: [None, None], ..Vhdx::default() }.build());
    assert_eq!(neither, Err(HeaderError::Signature { structure: "VHDX header" }));
}

#[test]
fn damaged_vhdx_files_say_what_is_wrong() {
    let sound = Vhdx::default().build();
    let broken = |places: &[usize]| {
        let mut file = sound.clone();
        for &place in places {
            file[place] ^= 0xFF;
        }
        vhdx(&file).expect_err("broken")
    };
    assert_eq!(broken(&[0]), HeaderError::Signature { structure: "VHDX file identifier" });
    let header = 64 << 10;
    assert_eq!(broken(&[header + 100, 2 * header + 100]), HeaderError::Checksum { structure: "VHDX header" });
    let region = 192 << 10;
    assert_eq!(
        broken(&[region, (256 << 10) + 100]),
        HeaderError::Signature { structure: "VHDX region table" }
    );
    let metadata = 512 << 10;
    assert_eq!(broken(&[metadata]), HeaderError::Signature { structure: "VHDX metadata table" });
    assert_eq!(
        broken(&[metadata + 32]),
        HeaderError::Missing { structure: "VHDX metadata table", item: "file parameters" }
    );
    // One damaged region table is what the second is for.
    let mut file = sound.clone();
    file[region] ^= 0xFF;
    vhdx(&file).expect("the other table is sound");

    let structure = "VHDX metadata table";
    for (build, field, value) in [
        (Vhdx { block_size: 3 << 20, ..Vhdx::default() }, "block size", 3 << 20),
        (Vhdx { block_size: 512 << 20, ..Vhdx::default() }, "block size", 512 << 20),
        (Vhdx { size: 65 << 40, ..Vhdx::default() }, "virtual disk size", 65 << 40),
        (Vhdx { size: 1000, ..Vhdx::default() }, "virtual disk size", 1000),
    ] {
        assert_eq!(vhdx(&build.build()), Err(HeaderError::Field { structure, field, value }));
    }
    assert_eq!(vhdx(&sound[..200 << 10]), Err(HeaderError::TooShort { structure: "VHDX region table" }));
}

#[test]
fn signatures_are_recognised_whatever_the_name() {
    let detect = |file: &[u8]| ImageFormat::detect(&file).expect("readable");
    assert_eq!(detect(&Vhdx::default().build()), Some(ImageFormat::Vhdx));
    assert_eq!(detect(&dynamic_vhd(3)), Some(ImageFormat::Vhd));
    assert_eq!(detect(&[&[0; 4096][..], &footer(2)].concat()), Some(ImageFormat::Vhd));
    assert_eq!(detect(b"QFI\xfb\0\0\0\x03"), Some(ImageFormat::Qcow2));
    assert_eq!(detect(b""), None);
    assert_eq!(detect(&[0; 4096]), None);
}

#[test]
fn the_checksum_is_the_one_of_the_format() {
    // The check value that RFC 3720, appendix B.4 gives for 32 zero bytes.
    assert_eq!(vhdx::crc32c(&[0; 32]), 0x8A91_36AA);
    assert_eq!(vhdx::crc32c(b"123456789"), 0xE306_9283);
}

/// A file that claims a length and counts what is read from it.
struct Counting {
    length: u64,
    read: std::cell::Cell<u64>,
    fill: u8,
}

impl ReadAt for Counting {
    fn length(&self) -> std::io::Result<u64> {
        Ok(self.length)
    }

    fn read_exact_at(&self, buffer: &mut [u8], _offset: u64) -> std::io::Result<()> {
        self.read.set(self.read.get() + buffer.len() as u64);
        buffer.fill(self.fill);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
        for format in [ImageFormat::Vhd, ImageFormat::Vhdx, ImageFormat::Qcow2, ImageFormat::Raw] {
            let _ = ImageHeader::read(&&bytes[..], format);
        }
        let _ = ImageFormat::detect(&&bytes[..]);
    }

    /// Damage inside the structures, with checksums made right again, so that the checks behind them are reached.
    #[test]
    fn damaged_structures_never_panic(
        changes in proptest::collection::vec((0usize..6, 0usize..300, any::<u8>()), 1..12),
        length in 0usize..(1 << 20) + 1,
    ) {
        let mut file = Vhdx::default().build();
        for (area, at, value) in &changes {
            let start = [64 << 10, 128 << 10, 192 << 10, 256 << 10, 512 << 10, 576 << 10][*area];
            file[start + at] = *value;
        }
        for (offset, size) in [(64, 4), (128, 4), (192, 64), (256, 64)] {
            seal_crc(&mut file[offset << 10..(offset + size) << 10]);
        }
        let _ = vhdx(&file);
        let _ = vhdx(&file[..length]);

        let mut file = dynamic_vhd(3);
        for (area, at, value) in &changes {
            file[(area * 300 + at) % 2048] = *value;
        }
        seal(&mut file[..512], 64);
        seal(&mut file[512..1536], 36);
        seal(&mut file[1536..], 64);
        let _ = vhd(&file);
        let _ = vhd(&file[..length % 2048]);
    }

    #[test]
    fn no_header_makes_us_read_much(length in any::<u64>(), fill in any::<u8>()) {
        for format in [ImageFormat::Vhd, ImageFormat::Vhdx] {
            let file = Counting { length, read: std::cell::Cell::new(0), fill };
            let _ = ImageHeader::read(&file, format);
            let _ = ImageFormat::detect(&file);
            prop_assert!(file.read.get() <= 512 << 10);
        }
    }
}
