//! When root runs a command on another user's data, the files that the command creates must belong to that user; otherwise that user's
//! server can't write them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::Context as _;
use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_keep_capabilities};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::users::DATABASE_FILE_NAME;

/// Where root runs this: becomes the owner of `data_dir`, or of the database in it where the folder is root's. There is no way back,
/// and it holds for this thread and the threads that it starts; so call it before there are others.
///
/// # Errors
/// Where root may not (a container without `CAP_SETUID`).
pub(super) fn become_owner(data_dir: &Path) -> anyhow::Result<()> {
    // Still read and reach what root may: the folder may be a container's, below one that its owner can't enter here, and a
    // certificate's key may be readable by a group of the service. Nothing can be written or made by that.
    become_owner_who(data_dir, CapabilitySet::DAC_READ_SEARCH)
}

/// The same, without any right of root's: what the owner can't read, this process can't either.
///
/// # Errors
/// Where root may not (a container without `CAP_SETUID`).
pub(super) fn become_owner_without_rights(data_dir: &Path) -> anyhow::Result<()> {
    become_owner_who(data_dir, CapabilitySet::empty())
}

/// Becomes the owner, who keeps the rights `kept` of root's.
fn become_owner_who(data_dir: &Path, kept: CapabilitySet) -> anyhow::Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let Some((uid, gid)) = owner(data_dir) else { return Ok(()) };
    let become_it = || {
        set_keep_capabilities(true)?;
        set_thread_groups(&[])?;
        let gid = Gid::from_raw(gid);
        set_thread_res_gid(gid, gid, gid)?;
        let uid = Uid::from_raw(uid);
        set_thread_res_uid(uid, uid, uid)?;
        let all = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
        set_capabilities(None, all).or_else(|_| {
            let none = CapabilitySet::empty();
            set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
        })
    };
    become_it().with_context(|| {
        format!("root can't become the user {uid}, to whom {} belongs: run the command as that user", data_dir.display())
    })
}

/// The user and the group to whom the data belong, unless it is root.
fn owner(data_dir: &Path) -> Option<(u32, u32)> {
    // What is not there is for the database to complain about. A link to a database counts as its maker's.
    let found = [fs::metadata(data_dir), fs::symlink_metadata(data_dir.join(DATABASE_FILE_NAME))];
    let mut owners = found.into_iter().flatten().map(|found| (found.uid(), found.gid()));
    owners.find(|(uid, _)| *uid != 0)
}
