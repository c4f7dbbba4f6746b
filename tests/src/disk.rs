//! A small disk of its own, which a test can fill.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::powerless::is_root;

/// A file system in memory, mounted below a test's folder, gone when dropped.
#[derive(Debug)]
pub struct Disk {
    at: PathBuf,
}

impl Disk {
    /// A disk of so many KiB.
    ///
    /// # Errors
    /// Why this machine cannot have one: it takes root and the right to mount.
    pub fn new(at: &Path, kib: u64) -> Result<Disk, String> {
        if !is_root() {
            return Err("only root can mount a small disk".to_owned());
        }
        std::fs::create_dir_all(at).map_err(|error| error.to_string())?;
        let size = format!("size={kib}k,mode=700");
        let told = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "muster-test"]).arg(at).output();
        match told.map_err(|error| error.to_string())? {
            mounted if mounted.status.success() => Ok(Disk { at: at.to_owned() }),
            refused => Err(String::from_utf8_lossy(&refused.stderr).into_owned()),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.at
    }

    /// Fills it to its last page with a file of its own.
    pub fn fill(&self) {
        let mut file =
            OpenOptions::new().create(true).append(true).open(self.filler()).expect("a file that fills a disk");
        let mut page = 64 << 10;
        // Smaller and smaller pieces, until not even one page fits.
        while page >= 512 {
            if file.write_all(&vec![b'x'; page]).is_err() {
                page /= 2;
            }
        }
    }

    /// Makes room again.
    pub fn make_room(&self) {
        std::fs::remove_file(self.filler()).expect("the file that fills the disk");
    }

    /// From now on nothing can be written.
    pub fn make_read_only(&self) {
        let told = Command::new("mount").args(["-o", "remount,ro"]).arg(&self.at).status();
        assert!(told.is_ok_and(|status| status.success()), "the disk cannot be made read-only");
    }

    /// And now it can.
    pub fn make_writable(&self) {
        let told = Command::new("mount").args(["-o", "remount,rw"]).arg(&self.at).status();
        assert!(told.is_ok_and(|status| status.success()), "the disk cannot be made writable");
    }

    fn filler(&self) -> PathBuf {
        self.at.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a process that is being killed may still have a file open there.
        let _ = Command::new("umount").arg("--lazy").arg(&self.at).status();
    }
}
