//! A small NBD client over a unix socket: what an application sees of a replicated volume.
//!
//! One request at a time, simple replies, no extensions: enough to write, read back and flush, and nothing that could hide a
//! late or a lost answer.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const INIT_PASSWD: u64 = 0x4e42_444d_4147_4943;
const I_HAVE_OPT: u64 = 0x4948_4156_454f_5054;
const OPTION_REPLY: u64 = 0x0003_e889_0455_65a9;
const REQUEST: u32 = 0x2560_9513;
const SIMPLE_REPLY: u32 = 0x6744_6698;

/// The handshake flags of both sides: fixed newstyle, and no zeros behind the old export answer.
const FIXED_NEWSTYLE: u16 = 1;
const NO_ZEROES: u16 = 2;

const OPT_GO: u32 = 7;
const REP_ACK: u32 = 1;
const REP_INFO: u32 = 3;
const REP_ERROR: u32 = 1 << 31;
const INFO_EXPORT: u16 = 0;

const CMD_READ: u16 = 0;
const CMD_WRITE: u16 = 1;
const CMD_DISCONNECT: u16 = 2;
const CMD_FLUSH: u16 = 3;
/// The write is answered when it is on stable storage.
const FLAG_FUA: u16 = 1;

/// No server of ours says more about an option.
const LONGEST_OPTION: u32 = 64 << 10;

/// How long [`Nbd::connect_again`] waits before it tries once more.
const AGAIN: Duration = Duration::from_millis(10);

/// Where an export is: what `nbd+unix:///NAME?socket=PATH` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The name of the export.
    pub export: String,
    /// The unix socket.
    pub socket: PathBuf,
}

/// A connection to an export. A failed call leaves it unusable.
#[derive(Debug)]
pub struct Nbd<S = UnixStream> {
    stream: S,
    size: u64,
    cookie: u64,
}

impl Address {
    /// Reads the address as the server tells it; `None` when it is of another kind.
    pub fn parse(uri: &str) -> Option<Self> {
        let (export, query) = uri.strip_prefix("nbd+unix:///")?.split_once('?')?;
        let socket = query.split('&').find_map(|part| part.strip_prefix("socket="))?;
        Some(Self { export: decoded(export)?, socket: PathBuf::from(decoded(socket)?) })
    }
}

impl Nbd {
    /// Connects. Every later call fails when the server is silent for `patience`.
    ///
    /// # Errors
    /// When nobody listens there, or the export is not offered.
    pub fn connect(address: &Address, patience: Duration) -> io::Result<Self> {
        let stream = UnixStream::connect(&address.socket)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        Self::agree(stream, &address.export)
    }

    /// The same, also when nobody listens for a moment: a server keeps applications out while it changes a mirror.
    ///
    /// # Errors
    /// As [`Self::connect`], when it is still so after `patience`.
    pub fn connect_again(address: &Address, patience: Duration) -> io::Result<Self> {
        let began = Instant::now();
        loop {
            match Self::connect(address, patience) {
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
                        && began.elapsed() < patience =>
                {
                    std::thread::sleep(AGAIN);
                }
                outcome => return outcome,
            }
        }
    }

    /// Ends the connection in order.
    pub fn disconnect(mut self) {
        // Whoever does not hear it sees the end of the connection.
        let _ = self.send(CMD_DISCONNECT, 0, 0, 0, &[]);
    }
}

impl<S: Read + Write> Nbd<S> {
    fn agree(mut stream: S, export: &str) -> io::Result<Self> {
        let (magic, options, flags) = (u64_of(&mut stream)?, u64_of(&mut stream)?, u16_of(&mut stream)?);
        if magic != INIT_PASSWD || options != I_HAVE_OPT || flags & FIXED_NEWSTYLE == 0 {
            return Err(broken("it is no NBD server of the fixed newstyle kind"));
        }
        let mut asked = u32::from(FIXED_NEWSTYLE | flags & NO_ZEROES).to_be_bytes().to_vec();
        asked.extend(I_HAVE_OPT.to_be_bytes());
        asked.extend(OPT_GO.to_be_bytes());
        let length = u32::try_from(export.len()).map_err(|_| broken("the name of the export is too long"))?;
        asked.extend((length + 6).to_be_bytes());
        asked.extend(length.to_be_bytes());
        asked.extend(export.as_bytes());
        // No information is asked for besides the size, which comes in any case.
        asked.extend(0_u16.to_be_bytes());
        stream.write_all(&asked)?;
        let mut size = None;
        loop {
            let (magic, option, kind) = (u64_of(&mut stream)?, u32_of(&mut stream)?, u32_of(&mut stream)?);
            let length = u32_of(&mut stream)?;
            if magic != OPTION_REPLY || option != OPT_GO || length > LONGEST_OPTION {
                return Err(broken("the answer to the name of the export makes no sense"));
            }
            let mut said = vec![0; length as usize];
            stream.read_exact(&mut said)?;
            match kind {
                REP_INFO => size = export_size(&said).or(size),
                REP_ACK => break,
                error if error & REP_ERROR != 0 => {
                    let said = String::from_utf8_lossy(&said);
                    return Err(io::Error::other(format!("the export {export:?} is refused: {said}")));
                }
                _ => {}
            }
        }
        let size = size.ok_or_else(|| broken("the size of the export is not told"))?;
        Ok(Self { stream, size, cookie: 0 })
    }

    /// The size of the volume, in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reads a part of the volume.
    ///
    /// # Errors
    /// When the server refuses, is silent, or is gone.
    pub fn read(&mut self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.send(CMD_READ, 0, offset, into.len(), &[])?;
        self.answered()?;
        self.stream.read_exact(into)
    }

    /// Writes a part of the volume. With `durable`, the answer says that it is on stable storage.
    ///
    /// # Errors
    /// When the server refuses, is silent, or is gone; then the write may or may not have happened.
    pub fn write(&mut self, offset: u64, bytes: &[u8], durable: bool) -> io::Result<()> {
        let flags = if durable { FLAG_FUA } else { 0 };
        self.send(CMD_WRITE, flags, offset, bytes.len(), bytes)?;
        self.answered()
    }

    /// Brings everything that was answered to stable storage.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn flush(&mut self) -> io::Result<()> {
        self.send(CMD_FLUSH, 0, 0, 0, &[])?;
        self.answered()
    }

    fn send(&mut self, kind: u16, flags: u16, offset: u64, length: usize, bytes: &[u8]) -> io::Result<()> {
        self.cookie += 1;
        let length = u32::try_from(length).map_err(|_| broken("the request is too long"))?;
        let mut message = Vec::with_capacity(28 + bytes.len());
        message.extend(REQUEST.to_be_bytes());
        message.extend(flags.to_be_bytes());
        message.extend(kind.to_be_bytes());
        message.extend(self.cookie.to_be_bytes());
        message.extend(offset.to_be_bytes());
        message.extend(length.to_be_bytes());
        message.extend(bytes);
        self.stream.write_all(&message)
    }

    fn answered(&mut self) -> io::Result<()> {
        let (magic, errno) = (u32_of(&mut self.stream)?, u32_of(&mut self.stream)?);
        let cookie = u64_of(&mut self.stream)?;
        if magic != SIMPLE_REPLY || cookie != self.cookie {
            return Err(broken("the answer is to another request"));
        }
        match i32::try_from(errno) {
            Ok(0) => Ok(()),
            Ok(errno) => Err(io::Error::from_raw_os_error(errno)),
            Err(_) => Err(broken("the error makes no sense")),
        }
    }
}

/// The size in an answer of the kind NBD_INFO_EXPORT.
fn export_size(said: &[u8]) -> Option<u64> {
    let kind = u16::from_be_bytes(said.get(..2)?.try_into().ok()?);
    (kind == INFO_EXPORT).then_some(u64::from_be_bytes(said.get(2..10)?.try_into().ok()?))
}

fn u16_of(stream: &mut impl Read) -> io::Result<u16> {
    let mut bytes = [0; 2];
    stream.read_exact(&mut bytes).map(|()| u16::from_be_bytes(bytes))
}

fn u32_of(stream: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes).map(|()| u32::from_be_bytes(bytes))
}

fn u64_of(stream: &mut impl Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    stream.read_exact(&mut bytes).map(|()| u64::from_be_bytes(bytes))
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Text without its percent signs.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command, Stdio};

    const PATIENCE: Duration = Duration::from_secs(30);

    /// The real server, which ends with the test.
    struct Daemon(Child);

    impl Drop for Daemon {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn an_address_is_read_with_what_is_encoded_in_it() {
        let address = Address::parse("nbd+unix:///volume?socket=/run/a%20b%26c/volume").expect("an address");
        assert_eq!(address, Address { export: "volume".to_owned(), socket: "/run/a b&c/volume".into() });
        for wrong in ["nbd://host/volume", "nbd+unix:///volume", "nbd+unix:///v?socket=/a%2"] {
            assert_eq!(Address::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_was_written_is_read_back_and_is_in_the_file() {
        let directory = tempfile::tempdir().expect("scratch");
        let (file, socket) = (directory.path().join("file"), directory.path().join("socket"));
        std::fs::File::create(&file).and_then(|f| f.set_len(1 << 20)).expect("a volume");
        let started = Command::new("qemu-storage-daemon")
            .args(["--blockdev", &format!("driver=file,node-name=file,filename={}", file.display())])
            .args(["--nbd-server", &format!("addr.type=unix,addr.path={}", socket.display())])
            .args(["--export", "type=nbd,id=e,node-name=file,name=volume,writable=on"])
            .stdin(Stdio::null())
            .spawn();
        let _daemon = Daemon(started.expect("qemu-storage-daemon is installed"));
        let address = Address { export: "volume".to_owned(), socket };
        let mut nbd = Nbd::connect_again(&address, PATIENCE).expect("somebody listens");
        assert_eq!(nbd.size(), 1 << 20);
        nbd.write(4096, &[7; 8192], true).expect("written");
        nbd.flush().expect("flushed");
        let mut back = [0; 8192];
        nbd.read(4096, &mut back).expect("read");
        assert_eq!(back, [7; 8192]);
        let past_the_end = nbd.write((1 << 20) - 512, &[1; 1024], false).expect_err("past the end");
        assert!(past_the_end.raw_os_error().is_some(), "the server says so: {past_the_end}");
        nbd.disconnect();
        let content = std::fs::read(&file).expect("the file");
        assert!(content[4096..12288].iter().all(|b| *b == 7) && content[..4096].iter().all(|b| *b == 0));
        let other = Address { export: "other".to_owned(), ..address };
        assert!(Nbd::connect(&other, PATIENCE).is_err_and(|e| e.to_string().contains("refused")));
    }
}
