//! The limit of descriptors of a process.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit to its maximum, for child processes too, and returns it.
pub(crate) fn descriptors() -> io::Result<u64> {
    let wanted = Rlimit { current: Some(WANTED), maximum: Some(WANTED) };
    let now = getrlimit(Resource::Nofile);
    if now.current.is_none_or(|now| now >= WANTED) || setrlimit(Resource::Nofile, wanted).is_ok() {
        return Ok(WANTED);
    }
    setrlimit(Resource::Nofile, Rlimit { current: now.maximum, ..now })?;
    Ok(now.maximum.unwrap_or(WANTED))
}

const WANTED: u64 = 65_536;
