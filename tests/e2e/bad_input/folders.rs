//! Folders that cannot be read or written, and disks that are full before anything begins.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use animals_api::Config;
use muster_tests::disk::Disk;

use super::{Case, Later, Mended, Scene};
use crate::base_url;

/// Room for a small run.
const ROOM: u64 = 8 << 10;

pub(super) const CASES: &[Case] = &[
    Case {
        what: "a folder that may not be written, for the ledger",
        code: 1,
        says: &["the ledger place/my.db cannot be opened", "file and folder must be writable for you"],
        make: |folder| closed_folder(&folder, 0o500, &["--db", "place/my.db"]),
    },
    Case {
        what: "a read-only disk, for the ledger",
        code: 1,
        says: &["the ledger place/my.db cannot be opened: Read-only file system", "name a file elsewhere"],
        make: |folder| on_disk(&folder, Disk::make_read_only, Disk::make_writable, &["--db", "place/my.db"]),
    },
    Case {
        what: "a full disk, for the ledger",
        code: 1,
        says: &["the ledger place/my.db cannot be opened: database or disk is full", "make room on that disk"],
        make: |folder| on_disk(&folder, Disk::fill, Disk::make_room, &["--db", "place/my.db"]),
    },
    Case {
        what: "an audit folder that may not be written",
        code: 1,
        says: &["the audit folder place/audit cannot be written: Permission denied", "change its owner or mode"],
        make: |folder| closed_folder(&folder, 0o500, &["--db", "my.db", "--audit", "place/audit"]),
    },
    Case {
        what: "an audit folder on a read-only disk",
        code: 1,
        says: &["the audit folder place/audit cannot be written: Read-only file system", "name a folder elsewhere"],
        make: |folder| {
            on_disk(&folder, Disk::make_read_only, Disk::make_writable, &["--db", "my.db", "--audit", "place/audit"])
        },
    },
    Case {
        what: "an audit folder on a full disk",
        code: 1,
        says: &["the audit folder place/audit cannot be written: No space left on device", "make room on that disk"],
        make: |folder| on_disk(&folder, Disk::fill, Disk::make_room, &["--db", "my.db", "--audit", "place/audit"]),
    },
    Case {
        what: "a file for an audit folder",
        code: 1,
        says: &["the audit folder place cannot be written", "a file stands where a folder should be"],
        make: |folder| {
            std::fs::write(folder.join("place"), "").expect("a file");
            let (scene, server) = run(&["--db", "my.db", "--audit", "place"]);
            let place = folder.join("place");
            let scene = scene.mended(move || {
                std::fs::remove_file(place).expect("the file");
                Box::pin(async { Mended { server, resume: false } })
            });
            Box::pin(async { scene })
        },
    },
    Case {
        what: "audit files that may not be read",
        code: 1,
        says: &["cannot read the folder place: Permission denied", "it must be readable for you"],
        make: |folder| {
            make_folder(&folder, 0o000);
            let scene = Scene { powerless: true, ..Scene::of(["verify", "--files", "place"]) };
            Box::pin(async { scene })
        },
    },
    Case {
        what: "a folder without audit files",
        code: 1,
        says: &["place has no ids.json", "DIR/RUN"],
        make: |folder| {
            make_folder(&folder, 0o700);
            Box::pin(async { Scene::of(["verify", "--files", "place"]) })
        },
    },
];

/// The command of a small run, and the stand-in that it is for.
fn run(flags: &[&str]) -> (Scene, super::Server) {
    let server = crate::stand_in(Config::calm(20));
    let set = base_url(&server);
    let scene = Scene::of(["run", "animals", "--set", &set].into_iter().chain(flags.iter().copied()));
    (scene, server)
}

fn make_folder(folder: &Path, mode: u32) -> PathBuf {
    let place = folder.join("place");
    std::fs::create_dir(&place).expect("a folder");
    change_mode(&place, mode);
    place
}

fn change_mode(place: &Path, mode: u32) {
    std::fs::set_permissions(place, std::fs::Permissions::from_mode(mode)).expect("a mode");
}

/// A run that needs a folder whose mode is in the way, until it is changed.
fn closed_folder(folder: &Path, mode: u32, flags: &[&str]) -> Later<Scene> {
    let place = make_folder(folder, mode);
    let (scene, server) = run(flags);
    let scene = Scene { powerless: true, ..scene }.mended(move || {
        change_mode(&place, 0o700);
        Box::pin(async { Mended { server, resume: false } })
    });
    Box::pin(async { scene })
}

/// A run that needs a disk with which something is wrong, until it is mended.
fn on_disk(folder: &Path, spoil: fn(&Disk), mend: fn(&Disk), flags: &[&str]) -> Later<Scene> {
    let scene = match Disk::new(&folder.join("place"), ROOM) {
        Ok(disk) => {
            spoil(&disk);
            let (scene, server) = run(flags);
            let disk = std::sync::Arc::new(disk);
            let mended = std::sync::Arc::clone(&disk);
            // Its files are read after the mended run too.
            scene.keep(disk).mended(move || {
                mend(&mended);
                Box::pin(async { Mended { server, resume: false } })
            })
        }
        Err(why) => Scene { impossible: Some(why), ..Scene::default() },
    };
    Box::pin(async { scene })
}
