//! Tries what the sandbox must stop. Exit code 0: refused; 1: it was possible; a death by SIGSYS: refused for good.

use crate::confine;
use std::hint::black_box;
use std::io::Write;
use std::process::{Command, ExitCode};

const MEMORY_BYTES: u64 = 1 << 30;

pub fn run(act: &str, confined: bool) -> ExitCode {
    if confined && !confine::confine(MEMORY_BYTES, 10, 0, 3, None).any() {
        eprintln!("this kernel offers neither Landlock nor seccomp");
        return ExitCode::from(1);
    }
    let possible = match act {
        "open" => std::fs::File::open("/etc/passwd").is_ok(),
        "create" => std::fs::File::create("/tmp/goodgate-media-selftest").is_ok(),
        "list" => std::fs::read_dir("/").is_ok(),
        "socket" => std::net::UdpSocket::bind("127.0.0.1:0").is_ok(),
        "exec" => Command::new("/bin/true").status().is_ok(),
        "memory" => {
            let mut bytes: Vec<u8> = Vec::new();
            let done = bytes.try_reserve_exact(2 * MEMORY_BYTES as usize).is_ok();
            black_box(bytes.as_mut_ptr());
            done
        }
        // Not forbidden: these show that the parent's own limits hold.
        "thread" => return ExitCode::from(u8::from(std::thread::spawn(|| 7).join().ok() != Some(7))),
        "hang" => loop {
            std::thread::sleep(std::time::Duration::from_secs(3600));
        },
        "flood" => loop {
            if std::io::stdout().write_all(&[b'x'; 4096]).is_err() {
                break false;
            }
        },
        "abort" => std::process::abort(),
        _ => {
            eprintln!("unknown act");
            return ExitCode::from(2);
        }
    };
    ExitCode::from(u8::from(possible))
}
