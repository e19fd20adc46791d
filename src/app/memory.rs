//! Memory goes back to the system. glibc keeps what was freed unless it was the last of its heap: after 150,000 sessions of one
//! client had ended, 1.4 GiB stayed with the process for good; given back it has 25 MiB.

use std::time::Duration;

/// How often it is looked whether there is more than after the last time.
const LOOK: Duration = Duration::from_secs(1);
/// So much more, in bytes, and freed memory is given back; without it after so many looks. A hundred MiB take some milliseconds.
const GROWTH: u64 = 4 << 20;
const LOOKS: u32 = 10;
/// Larger pieces, in bytes, are had from the system one by one and go back at once. glibc would raise this limit with the first one that is
/// freed, and messages of a few hundred KiB would leave holes in its heaps.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE: libc::c_int = 64 << 10;

/// Gives freed memory back, again and again; never returns. Other C libraries than glibc do so by themselves.
pub(super) async fn give_back() {
    set_large();
    let mut before = 0;
    let mut looks = 0;
    loop {
        tokio::time::sleep(LOOK).await;
        looks += 1;
        if looks >= LOOKS || resident().is_some_and(|now| now > before + GROWTH) {
            // It holds each heap's lock for as long as that has pieces, so it has a thread of its own.
            tokio::task::spawn_blocking(trim).await.ok();
            before = resident().unwrap_or(0);
            looks = 0;
        }
    }
}

/// Bytes of this process that are in memory.
fn resident() -> Option<u64> {
    let pages: u64 = std::fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn set_large() {
    // SAFETY: it takes two numbers and may run beside any use of the heap (mallopt(3)).
    #[allow(unsafe_code, reason = "no safe interface has it")]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
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
const fn set_large() {}

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
