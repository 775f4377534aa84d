//! Giving up rights, before the first byte of media: no new privileges, small limits, no filesystem (Landlock),
//! no system call but those that decoding needs (seccomp). Works as root and as anybody.

use landlock::{ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetStatus};
use rustix::process::{self, Resource, Rlimit, Signal};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use std::collections::BTreeMap;

/// What the kernel really enforces.
#[derive(Clone, Copy, Debug)]
pub struct Rights {
    pub landlock: bool,
    pub seccomp: bool,
}

impl Rights {
    pub fn any(self) -> bool {
        self.landlock || self.seccomp
    }
}

/// Descriptors beside the inherited ones: a few for libraries that probe.
const MAX_FILES: u64 = 11;

/// `inherited` is how many descriptors are ours from our parent, from 0 on; `clip` is one more that is kept.
pub fn confine(memory_bytes: u64, cpu_secs: u64, output_bytes: u64, inherited: u32, clip: Option<u32>) -> Rights {
    close_strays(inherited, clip);
    let _ = process::set_parent_process_death_signal(Some(Signal::KILL));
    let _ = process::set_dumpable_behavior(process::DumpableBehavior::NotDumpable);
    limit(Resource::As, memory_bytes);
    limit(Resource::Core, 0);
    limit(Resource::Nofile, MAX_FILES + u64::from(inherited.max(clip.unwrap_or(0))));
    // A backstop: the writers refuse earlier, with words.
    limit(Resource::Fsize, output_bytes.saturating_add(1 << 20));
    limit(Resource::Cpu, cpu_secs);
    Rights { landlock: landlock().unwrap_or(false), seccomp: seccomp().is_ok() }
}

/// Behind whoever copies: a low place at the processor, the idle class at the disk.
pub fn give_way() {
    let _ = process::nice(10);
    // SAFETY: plain numbers: this process, class idle (linux/ioprio.h). Refused, nothing changes.
    unsafe { libc::syscall(libc::SYS_ioprio_set, 1, 0, 3 << 13) };
}

/// Lowers a limit; never raises one that is already lower.
fn limit(what: Resource, value: u64) {
    let now = process::getrlimit(what);
    let value = value.min(now.maximum.unwrap_or(u64::MAX));
    // SIGXCPU one second before the hard end, so that the parent can name it.
    let maximum = if matches!(what, Resource::Cpu) { value.saturating_add(1) } else { value };
    let maximum = Some(maximum.min(now.maximum.unwrap_or(u64::MAX)));
    let _ = process::setrlimit(what, Rlimit { current: Some(value), maximum });
}

/// Descriptors a careless ancestor left open would be rights too.
fn close_strays(inherited: u32, clip: Option<u32>) {
    let close = |first: u32, last: u32| {
        if first <= last {
            // SAFETY: nothing of ours is open but the inherited descriptors and the clip, which are left out. Failure
            // (an old kernel) changes nothing.
            unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        }
    };
    match clip.filter(|c| *c >= inherited) {
        Some(clip) => {
            close(inherited, clip.saturating_sub(1));
            close(clip + 1, u32::MAX);
        }
        None => close(inherited, u32::MAX),
    }
}

/// All rights handled, none granted.
fn landlock() -> Result<bool, landlock::RulesetError> {
    let abi = ABI::V5;
    let rules = Ruleset::default().handle_access(AccessFs::from_all(abi))?.handle_access(AccessNet::from_all(abi))?;
    Ok(rules.create()?.restrict_self()?.ruleset != RulesetStatus::NotEnforced)
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;
type Answer<T> = Result<T, Box<dyn std::error::Error>>;

fn seccomp() -> Answer<()> {
    let probed: Rules = probed().into_iter().map(|n| (n, Vec::new())).collect();
    let mut allowed: Rules = needed().into_iter().chain(probed.keys().copied()).map(|n| (n, Vec::new())).collect();
    let no_exec = |arg| when(arg, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(libc::PROT_EXEC as u64), 0);
    allowed.insert(libc::SYS_mmap, no_exec(2)?);
    allowed.insert(libc::SYS_mprotect, no_exec(2)?);
    // Threads yes, processes no. clone3 hides its flags behind a pointer, so libc is made to use clone.
    let thread = libc::CLONE_THREAD as u64;
    allowed.insert(libc::SYS_clone, when(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(thread), thread)?);
    allowed.insert(libc::SYS_clone3, Vec::new());
    let set_name = libc::PR_SET_NAME as u64;
    allowed.insert(libc::SYS_prctl, when(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, set_name)?);
    // abort() must look like one.
    let me = u64::from(std::process::id());
    allowed.insert(libc::SYS_tgkill, when(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, me)?);

    // Of several filters the harshest answer counts. The killing one comes last: it ends installing filters, too.
    let clone3 = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    apply(probed, SeccompAction::Allow, SeccompAction::Errno(libc::EACCES as u32))?;
    apply(clone3, SeccompAction::Allow, SeccompAction::Errno(libc::ENOSYS as u32))?;
    apply(allowed, SeccompAction::KillProcess, SeccompAction::Allow)
}

fn when(arg: u8, len: SeccompCmpArgLen, op: SeccompCmpOp, value: u64) -> Answer<Vec<SeccompRule>> {
    Ok(vec![SeccompRule::new(vec![SeccompCondition::new(arg, len, op, value)?])?])
}

fn apply(rules: Rules, otherwise: SeccompAction, matched: SeccompAction) -> Answer<()> {
    let arch: TargetArch = std::env::consts::ARCH.try_into()?;
    let program: BpfProgram = SeccompFilter::new(rules, otherwise, matched, arch)?.try_into()?;
    // Also sets no_new_privs, without which a filter may not be installed.
    Ok(seccompiler::apply_filter(&program)?)
}

/// What decoding, encoding and threads need.
fn needed() -> Vec<i64> {
    vec![
        libc::SYS_read,
        libc::SYS_readv,
        libc::SYS_pread64,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_pwrite64,
        libc::SYS_lseek,
        libc::SYS_fstat,
        libc::SYS_close,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_madvise,
        libc::SYS_brk,
        libc::SYS_futex,
        libc::SYS_clock_gettime,
        libc::SYS_clock_nanosleep,
        libc::SYS_nanosleep,
        libc::SYS_getrandom,
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_restart_syscall,
        libc::SYS_sched_getaffinity,
        libc::SYS_sched_yield,
        libc::SYS_getcpu,
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_set_robust_list,
        libc::SYS_rseq,
    ]
}

/// What libraries try and can do without: answered EACCES, not death.
fn probed() -> Vec<i64> {
    let mut list = vec![
        libc::SYS_openat,
        libc::SYS_newfstatat,
        libc::SYS_statx,
        libc::SYS_faccessat,
        libc::SYS_readlinkat,
        libc::SYS_ioctl,
        libc::SYS_fcntl,
        libc::SYS_fadvise64,
        libc::SYS_ftruncate,
        libc::SYS_uname,
        libc::SYS_sysinfo,
        libc::SYS_prlimit64,
        libc::SYS_getrusage,
        libc::SYS_membarrier,
        libc::SYS_sched_setaffinity,
        libc::SYS_sched_getparam,
        libc::SYS_sched_getscheduler,
        libc::SYS_sched_setscheduler,
        libc::SYS_getpriority,
        libc::SYS_setpriority,
        libc::SYS_mlock,
        libc::SYS_getuid,
        libc::SYS_geteuid,
    ];
    #[cfg(target_arch = "x86_64")]
    list.extend([libc::SYS_open, libc::SYS_stat, libc::SYS_lstat, libc::SYS_access, libc::SYS_readlink]);
    list
}
