//! Returns freed memory to the system. glibc keeps freed memory unless it was the last of its heap: after 150,000 sessions of one
//! client had ended, the process kept 1.4 GiB for good. After returning it, the process has 25 MiB.

use std::time::Duration;

/// How often the resident memory is compared with that after the last trim.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Growth of the resident memory after which freed memory is returned early; otherwise this happens after a number of checks. Returning
/// a hundred MiB takes some milliseconds.
const MIN_GROWTH_BYTES: u64 = 4 << 20;
const MAX_CHECKS_BETWEEN_TRIMS: u32 = 10;
/// glibc gets larger blocks from the system one by one, and returns each one when it is freed. By default glibc raises this
/// threshold when it frees the first such block, and then messages of a few hundred KiB would leave holes in its heaps.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MMAP_THRESHOLD_BYTES: libc::c_int = 64 << 10;

/// Returns freed memory at intervals, and never ends. C libraries other than glibc need no such call.
pub(super) async fn give_back() {
    set_mmap_threshold();
    let mut before = 0;
    let mut checks = 0;
    loop {
        tokio::time::sleep(CHECK_INTERVAL).await;
        checks += 1;
        if checks >= MAX_CHECKS_BETWEEN_TRIMS || resident().is_some_and(|now| now > before + MIN_GROWTH_BYTES) {
            // Trimming holds the lock of each heap for a while, so it runs on a thread of its own.
            tokio::task::spawn_blocking(trim).await.ok();
            before = resident().unwrap_or(0);
            checks = 0;
        }
    }
}

/// Bytes of this process that are in memory.
fn resident() -> Option<u64> {
    let pages: u64 = std::fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn set_mmap_threshold() {
    // SAFETY: it takes two numbers and may run beside any use of the heap (mallopt(3)).
    #[allow(unsafe_code, reason = "no safe interface has it")]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES);
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn trim() {
    // SAFETY: it takes no pointer, frees nothing that is in use, and may run beside any other use of the heap (malloc_trim(3)).
    #[allow(unsafe_code, reason = "no safe interface has it")]
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
const fn set_mmap_threshold() {}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
const fn trim() {}

#[cfg(test)]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod tests {
    use super::*;

    #[test]
    fn what_was_freed_between_what_is_used_goes_back() {
        const PIECES: usize = 64 * 1024;
        let mut pieces: Vec<Option<Box<[u8; 2048]>>> = (0..PIECES).map(|_| Some(Box::new([1; 2048]))).collect();
        // The last one keeps the end of the heap in use.
        pieces[..PIECES - 1].fill_with(|| None);
        let kept = resident().unwrap();
        trim();
        let given_back = kept.saturating_sub(resident().unwrap());
        assert!(given_back > 64 << 20, "{given_back} of {kept} bytes");
        assert!(pieces[PIECES - 1].is_some());
    }
}
