//! Whether the data folder has space.

use super::line::{Line, Topic};
use crate::cli::data_folder::{DataFolder, Disk};

/// Below this the database can hardly be written.
const TOO_LITTLE_BYTES: u64 = 4 * 1024 * 1024;
const LITTLE_BYTES: u64 = 200 * 1024 * 1024;

pub(super) fn look(folder: &mut DataFolder) -> Line {
    match folder.disk() {
        Ok(disk) => judge(disk),
        Err(error) => Line::unknown(Topic::Disk, format!("the space of the data folder is not known: {error:#}")),
    }
}

fn judge(disk: Disk) -> Line {
    let free = format!("{} MB free in the data folder", disk.free_bytes / 1_000_000);
    if disk.read_only {
        return Line::failed(
            Topic::Disk,
            "the file system of the data folder is read-only, so users and secrets can't be changed",
        );
    }
    // Some file systems don't count files, and say 0.
    if disk.free_bytes < TOO_LITTLE_BYTES {
        return Line::failed(Topic::Disk, format!("{free}: users and secrets can't be changed"));
    }
    if disk.free_bytes < LITTLE_BYTES {
        return Line::warning(Topic::Disk, free);
    }
    Line::ok(Topic::Disk, free)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::line::State;

    #[test]
    fn little_space_is_noticed_before_none_is_left() {
        let disk = Disk { free_bytes: 1 << 40, free_files: 0, read_only: false };
        assert_eq!(judge(disk).state, State::Ok, "no count of files");
        assert_eq!(judge(Disk { free_bytes: 100 << 20, ..disk }).state, State::Warning);
        assert_eq!(judge(Disk { free_bytes: 1 << 20, ..disk }).state, State::Failed);
        assert_eq!(judge(Disk { read_only: true, ..disk }).state, State::Failed);
    }
}
