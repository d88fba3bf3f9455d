//! A kernel that refuses a system call.

use std::io;
use std::mem::size_of;

use libc::{
    BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER,
    SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, c_int, c_long, prctl, sock_filter, sock_fprog,
};

/// Lets `io_uring_enter` fail in this thread from now on.
pub(crate) fn refuse_entering(error: c_int) {
    refuse(libc::SYS_io_uring_enter, error).unwrap();
}

/// Lets `io_uring_setup` fail in this thread and in the program that it becomes. It allocates nothing.
pub(crate) fn refuse_io_uring() -> io::Result<()> {
    refuse(libc::SYS_io_uring_setup, libc::EPERM)
}

fn refuse(call: c_long, error: c_int) -> io::Result<()> {
    let (load, compare, end) =
        ((BPF_LD | BPF_W | BPF_ABS) as u16, (BPF_JMP | BPF_JEQ | BPF_K) as u16, (BPF_RET | BPF_K) as u16);
    let mut filter = [
        // The number of the system call is what its description begins with.
        sock_filter { code: load, jt: 0, jf: 0, k: 0 },
        sock_filter { code: compare, jt: 0, jf: 1, k: call.unsigned_abs() as u32 },
        sock_filter { code: end, jt: 0, jf: 0, k: SECCOMP_RET_ERRNO | error.unsigned_abs() },
        sock_filter { code: end, jt: 0, jf: 0, k: SECCOMP_RET_ALLOW },
    ];
    let program = sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    const { assert!(size_of::<sock_filter>() == 8) };
    // SAFETY: it takes numbers.
    let first = unsafe { prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    // SAFETY: it takes a program, which it copies.
    let second = unsafe { prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &raw const program) };
    if first == 0 && second == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
