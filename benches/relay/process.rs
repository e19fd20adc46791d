//! Child processes that are measured: their CPU time, memory, and where they may run.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Which CPUs are the servers' and which the generator's: apart, so that the one does not take the other's time.
#[derive(Debug, Clone)]
pub(crate) struct Cpus {
    all: Vec<usize>,
    servers: Vec<usize>,
}

impl Cpus {
    /// The last `count` of those allowed are the servers'; none is set apart where there is but one.
    ///
    /// # Errors
    /// Of sched_getaffinity(2).
    pub(crate) fn split(count: usize) -> anyhow::Result<Self> {
        let allowed = sched_getaffinity(None)?;
        let all: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect();
        let servers = all[all.len() - count.clamp(1, all.len().saturating_sub(1).max(1))..].to_vec();
        Ok(Self { all, servers })
    }

    /// Keeps this thread, and what it spawns, off the servers' CPUs.
    ///
    /// # Errors
    /// Of sched_setaffinity(2).
    pub(crate) fn use_for_generator(&self) -> anyhow::Result<()> {
        let rest: Vec<usize> = self.all.iter().copied().filter(|cpu| !self.servers.contains(cpu)).collect();
        allow(if rest.is_empty() { &self.all } else { &rest })
    }

    /// Says what runs where.
    pub(crate) fn describe(&self) -> String {
        format!("servers on CPU {:?} of {:?}, the generator on the others", self.servers, self.all)
    }
}

fn allow(cpus: &[usize]) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    for cpu in cpus {
        set.set(*cpu);
    }
    Ok(sched_setaffinity(None, &set)?)
}

/// Lets this process and its children open as many descriptors as they may.
///
/// # Errors
/// Of setrlimit(2).
pub(crate) fn raise_descriptor_limit() -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(())
}

/// A running server. Dropping it ends it.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts it on the servers' CPUs, with its output thrown away unless `command` says otherwise.
    ///
    /// # Errors
    /// The program is not there.
    pub(crate) fn spawn(command: &mut Command, cpus: &Cpus) -> anyhow::Result<Self> {
        allow(&cpus.servers)?;
        let child = command.stdin(Stdio::null()).spawn();
        cpus.use_for_generator()?;
        let child = child.with_context(|| format!("{} does not start", command.get_program().display()))?;
        Ok(Self { child })
    }

    /// The pipe of its standard output, where it was asked for.
    pub(crate) fn stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Waits until `ready` holds.
    ///
    /// # Errors
    /// It ends, or `seconds` are over.
    pub(crate) fn wait_until(&mut self, seconds: u64, mut ready: impl FnMut() -> bool) -> anyhow::Result<()> {
        let end = Instant::now() + Duration::from_secs(seconds);
        while !ready() {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended at once: {status}");
            }
            ensure!(Instant::now() < end, "it is not ready after {seconds} s");
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// CPU time of all threads since the start, in nanoseconds. Exact while they sleep (`/proc/PID/task/*/schedstat`, see
    /// Documentation/scheduler/sched-stats.rst); of ended threads nothing is known.
    ///
    /// # Errors
    /// The process has ended, or the kernel keeps no such statistics.
    pub(crate) fn cpu_nanos(&self) -> anyhow::Result<u64> {
        let mut sum = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id())).context("the server has ended")? {
            let text = fs::read_to_string(task?.path().join("schedstat")).context("no schedstat")?;
            sum += text.split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok()).context("an odd schedstat")?;
        }
        Ok(sum)
    }

    /// Resident memory in kB.
    ///
    /// # Errors
    /// The process has ended.
    pub(crate) fn resident_kb(&self) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).context("the server has ended")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
