//! The process with the owner's rights.

use std::fs::{self, File};
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::anyhow;
use serde::Serialize;
use serde_json::Value;

use super::death_signal;
use super::transfer::Transfer;
use super::wire::{Disk, Reply, Request};
use crate::cli::owner;
use crate::control::client::{self, AskError};
use crate::users::{DATABASE_FILE_NAME, Store};

/// Bytes of the longest file that is read: a certificate with its chain.
const MAX_FILE_BYTES: u64 = 256 * 1024;

/// Enters the folder, becomes its owner and answers until standard input ends.
pub(in crate::cli) fn run(folder: &Path) -> anyhow::Result<()> {
    let here = Path::new(".");
    let entered = std::env::set_current_dir(folder)
        .map_err(|error| not_entered(folder, error))
        .and_then(|()| owner::become_owner_without_rights(here))
        .and_then(|()| Ok(death_signal::end_with_the_command()?));
    let failed = entered.is_err();
    send(entered)?;
    if failed {
        return Ok(());
    }
    let mut transfer = Transfer::default();
    for line in io::stdin().lock().lines() {
        let request = serde_json::from_str::<Request>(&line?)?;
        match request {
            Request::Ask { question, seconds } => send(ask(here, &question, seconds)),
            Request::Record => send(record(here)),
            Request::Disk => send(disk(here)),
            Request::Read { file } => send(read(&file)),
            Request::BackUp => send(transfer.back_up(here)),
            Request::NextPart => send(transfer.next_part()),
            Request::BeginRestore => send(transfer.begin_restore(here)),
            Request::Part { data } => send(transfer.part(&data)),
            Request::EndRestore { force } => send(transfer.end_restore(here, force)),
        }?;
    }
    Ok(())
}

fn not_entered(folder: &Path, error: io::Error) -> anyhow::Error {
    let shown = folder.display();
    if error.kind() == io::ErrorKind::NotFound {
        anyhow!(
            "there is no data folder {shown}, so no server has been started with it yet: start one (castway), or name the folder of the \
             one that runs with --data-dir DIR"
        )
    } else if error.kind() == io::ErrorKind::NotADirectory {
        anyhow!("the data folder {shown} is a file: move it away, or name another folder with --data-dir DIR")
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        anyhow!("this user may not look into the data folder {shown}: run it as root (sudo) or as the user of the server")
    } else {
        anyhow!(error).context(format!("the data folder {shown} can't be entered"))
    }
}

fn send(done: anyhow::Result<impl Serialize>) -> anyhow::Result<()> {
    let reply = match done {
        Ok(value) => Reply::Done(serde_json::to_value(value)?),
        Err(error) => Reply::Failed(format!("{error:#}")),
    };
    let mut out = io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(&reply)?)?;
    Ok(out.flush()?)
}

/// `None`: no server runs.
fn ask(folder: &Path, question: &Value, seconds: u64) -> anyhow::Result<Option<Value>> {
    match client::ask(folder, question, Duration::from_secs(seconds.max(1))) {
        Ok(answer) => Ok(Some(answer)),
        Err(AskError::NotRunning) => Ok(None),
        Err(error @ (AskError::Refused(_) | AskError::Broken(_))) => Err(error.into()),
    }
}

fn record(folder: &Path) -> anyhow::Result<Option<String>> {
    if !folder.join(DATABASE_FILE_NAME).try_exists()? {
        return Ok(None);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let store = Store::open_existing(folder, SystemTime::now()).await?;
        let recorded = store.recorded().await;
        store.close().await;
        Ok(recorded?.map(|record| record.expose().clone()))
    })
}

fn disk(folder: &Path) -> anyhow::Result<Disk> {
    let found = rustix::fs::statvfs(folder)?;
    Ok(Disk {
        free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
        free_files: found.f_favail,
        read_only: found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
    })
}

fn read(file: &Path) -> anyhow::Result<Option<String>> {
    let found = match fs::metadata(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => found?,
    };
    // Opening a pipe would wait for its other end.
    if !found.is_file() {
        return Err(anyhow!("{} is no file", file.display()));
    }
    let mut text = String::new();
    File::open(file)?.take(MAX_FILE_BYTES).read_to_string(&mut text)?;
    Ok(Some(text))
}
