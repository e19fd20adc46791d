//! The measured child processes: their CPU time, their memory, and the CPUs on which they run.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The CPUs of the servers and those of the generator. They are separate, so that neither side takes time from the other.
#[derive(Debug, Clone)]
pub(crate) struct Cpus {
    all: Vec<usize>,
    servers: Vec<usize>,
}

impl Cpus {
    /// Gives the servers the last `count` of the allowed CPUs. If only one CPU is allowed, both sides share it.
    ///
    /// # Errors
    /// sched_getaffinity(2) fails.
    pub(crate) fn split(count: usize) -> anyhow::Result<Self> {
        let allowed = sched_getaffinity(None)?;
        let all: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect();
        let servers = all[all.len() - count.clamp(1, all.len().saturating_sub(1).max(1))..].to_vec();
        Ok(Self { all, servers })
    }

    /// Keeps this thread and its child processes off the servers' CPUs.
    ///
    /// # Errors
    /// sched_setaffinity(2) fails.
    pub(crate) fn use_for_generator(&self) -> anyhow::Result<()> {
        let rest: Vec<usize> = self.all.iter().copied().filter(|cpu| !self.servers.contains(cpu)).collect();
        allow(if rest.is_empty() { &self.all } else { &rest })
    }

    /// Describes which side runs on which CPUs.
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

/// Raises this process's limit of open descriptors to the maximum; child processes inherit it.
///
/// # Errors
/// setrlimit(2) fails.
pub(crate) fn raise_descriptor_limit() -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(())
}

/// This process's limit of open descriptors; `None`: it has none.
pub(crate) fn descriptor_limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// A running server, which is killed on drop.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts a program on the servers' CPUs and discards its output.
    ///
    /// # Errors
    /// The program is not installed.
    pub(crate) fn spawn(command: &mut Command, cpus: &Cpus) -> anyhow::Result<Self> {
        Self::start(command.stdout(Stdio::null()), cpus)
    }

    /// Like [`Self::spawn`], but returns the pipe of its standard output.
    ///
    /// # Errors
    /// The program is not installed.
    pub(crate) fn spawn_with_stdout(command: &mut Command, cpus: &Cpus) -> anyhow::Result<(Self, ChildStdout)> {
        let mut process = Self::start(command.stdout(Stdio::piped()), cpus)?;
        let stdout = process.child.stdout.take().context("it has no standard output")?;
        Ok((process, stdout))
    }

    fn start(command: &mut Command, cpus: &Cpus) -> anyhow::Result<Self> {
        allow(&cpus.servers)?;
        let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn();
        cpus.use_for_generator()?;
        let child = child.with_context(|| format!("{} does not start", command.get_program().display()))?;
        Ok(Self { child })
    }

    /// Waits until `ready` returns true.
    ///
    /// # Errors
    /// The process ends, or `seconds` have passed.
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

    /// CPU time of all threads since the start, in nanoseconds. It does not include threads that have ended.
    ///
    /// # Errors
    /// The process has ended, or the kernel keeps no such statistics.
    pub(crate) fn cpu_nanos(&self) -> anyhow::Result<u64> {
        Ok(self.cpu_nanos_by_thread()?.values().sum())
    }

    /// CPU time of each thread since its start, in nanoseconds, by the thread's id. A value is exact while the thread sleeps
    /// (`/proc/PID/task/*/schedstat`, see Documentation/scheduler/sched-stats.rst).
    ///
    /// # Errors
    /// The process has ended, or the kernel keeps no such statistics.
    pub(crate) fn cpu_nanos_by_thread(&self) -> anyhow::Result<BTreeMap<u32, u64>> {
        let mut threads = BTreeMap::new();
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id())).context("the server has ended")? {
            let task = task?;
            let text = fs::read_to_string(task.path().join("schedstat")).context("no schedstat")?;
            let nanos = text.split(' ').next().and_then(|nanos| nanos.parse().ok()).context("an odd schedstat")?;
            let id = task.file_name().to_str().and_then(|id| id.parse().ok()).context("an odd thread")?;
            threads.insert(id, nanos);
        }
        Ok(threads)
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

impl Process {
    /// Kills the process, and waits until it has ended.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
