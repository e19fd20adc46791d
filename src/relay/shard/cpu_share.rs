//! A shard's share of a CPU that other threads want as well, such as those of signaling.
//!
//! Since Linux 6.12 a thread with shorter time slices than the one that runs replaces it when it wakes; with equal ones it may wait until
//! the other's slice of some milliseconds has passed. Both still get the same time in total, so a shard that has had more than its part waits
//! nevertheless. A lower nice value gives it a larger part: a packet that waits is seen on a screen, and a message that waits is not. The
//! kernel allows that to root, and to others as far as RLIMIT_NICE does.

use std::io;
use std::mem::size_of;
use std::time::Duration;

/// The shortest slice that the kernel gives; older kernels ignore it.
const TIME_SLICE: Duration = Duration::from_micros(100);
/// By how much a shard's nice value is lower than that of the process. Other threads still get a thirtieth of a CPU.
const LOWER_NICE: i32 = 15;
const LOWEST_NICE: i32 = -20;

/// Asks for short time slices and a lower nice value for this thread, or for short slices alone where the latter is not allowed. A thread
/// that the operator has given another scheduling policy keeps that.
///
/// # Errors
/// Of sched_getattr(2) and sched_setattr(2).
pub(super) fn favour_this_thread() -> io::Result<()> {
    let current = attributes()?;
    if current.sched_policy != libc::SCHED_OTHER as u32 {
        return Ok(());
    }
    let shorter = libc::sched_attr { sched_flags: 0, sched_runtime: TIME_SLICE.as_nanos() as u64, ..current };
    let lower = libc::sched_attr { sched_nice: (current.sched_nice - LOWER_NICE).max(LOWEST_NICE), ..shorter };
    set(&lower).or_else(|_| set(&shorter))
}

fn set(attributes: &libc::sched_attr) -> io::Result<()> {
    // SAFETY: the kernel reads as many bytes as the structure says that it has.
    #[allow(unsafe_code, reason = "no safe interface has it")]
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, std::ptr::from_ref(attributes), 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn attributes() -> io::Result<libc::sched_attr> {
    let len = size_of::<libc::sched_attr>() as u32;
    let mut attributes = libc::sched_attr {
        size: len,
        sched_policy: 0,
        sched_flags: 0,
        sched_nice: 0,
        sched_priority: 0,
        sched_runtime: 0,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the kernel writes at most `len` bytes.
    #[allow(unsafe_code, reason = "no safe interface has it")]
    let result = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, len, 0) };
    if result == 0 { Ok(attributes) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_gets_short_slices_and_a_lower_nice_value_where_the_kernel_allows_them() {
        let of_another_thread = std::thread::spawn(|| {
            rustix::process::nice(3).unwrap();
            let before = attributes().unwrap();
            favour_this_thread().unwrap();
            (before, attributes().unwrap())
        });
        let (before, after) = of_another_thread.join().unwrap();
        assert_eq!(after.sched_policy, before.sched_policy);
        assert!([before.sched_nice, before.sched_nice - LOWER_NICE].contains(&after.sched_nice), "{}", after.sched_nice);
        // Kernels without slices of a thread's own report none.
        let expected = if before.sched_runtime == 0 { 0 } else { 100_000 };
        assert_eq!(after.sched_runtime, expected);
    }
}
