//! The kernel's memory for the sockets of the whole machine, from `/proc/slabinfo`. Differences show what one server's sockets cost.

use std::fs;

/// The caches of what a socket in an epoll set consists of. The kernel hides caches that it has merged with others, so the sum is a
/// lower bound.
const SOCKET_CACHES: [&str; 6] = ["UDP", "UDPv6", "sock_inode_cache", "filp", "eventpoll_epi", "eventpoll_pwq"];
const INODE_CACHE: &str = "sock_inode_cache";
const DENTRY_CACHE: &str = "dentry";
const PAGE_KB: f64 = 4.0;

/// One line of `/proc/slabinfo`.
struct Cache {
    active_objects: f64,
    /// An object's share of its slab's pages.
    object_kb: f64,
}

/// Returns the kB that all UDP sockets take, or `None` if the caller may not read it. Other programs' files change it slightly.
pub(crate) fn socket_kb() -> Option<f64> {
    let slabinfo = fs::read_to_string("/proc/slabinfo").ok()?;
    let caches = SOCKET_CACHES.iter().filter_map(|name| Cache::find(&slabinfo, name));
    let sockets: f64 = caches.map(|cache| cache.active_objects * cache.object_kb).sum();
    // Each socket has a dentry, but the cache also has those of all files.
    let dentries = Cache::find(&slabinfo, INODE_CACHE)?.active_objects * Cache::find(&slabinfo, DENTRY_CACHE)?.object_kb;
    Some(sockets + dentries)
}

impl Cache {
    /// The columns are: name, active objects, objects, bytes of an object, objects of a slab, pages of a slab.
    fn find(slabinfo: &str, name: &str) -> Option<Self> {
        let line = slabinfo.lines().find(|line| line.split_whitespace().next() == Some(name))?;
        let number = |column: usize| line.split_whitespace().nth(column)?.parse::<f64>().ok();
        Some(Self { active_objects: number(1)?, object_kb: number(5)? * PAGE_KB / number(4)? })
    }
}
