//! The process ends with its command, whatever it waits for; a swap of files that has begun ends first.

use std::io;

use rustix::process::{Signal, parent_process_death_signal, set_parent_process_death_signal};

/// From now on, this process is killed when its command ends.
pub(super) fn end_with_the_command() -> io::Result<()> {
    Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
}

/// Does `work` to its end, although the command may end meanwhile.
pub(super) fn outlive_the_command<T>(work: impl FnOnce() -> T) -> io::Result<T> {
    let former = parent_process_death_signal()?;
    set_parent_process_death_signal(None)?;
    let done = work();
    // Where the command has ended, the reply can't be written, and that ends this process.
    set_parent_process_death_signal(former).ok();
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_signal_comes_during_the_work_and_one_comes_after_it() {
        // One that harms nobody; it is set for this thread alone.
        set_parent_process_death_signal(Some(Signal::CONT)).unwrap();
        assert_eq!(outlive_the_command(|| parent_process_death_signal().unwrap()).unwrap(), None);
        assert_eq!(parent_process_death_signal().unwrap(), Some(Signal::CONT));
        set_parent_process_death_signal(None).unwrap();
    }
}
