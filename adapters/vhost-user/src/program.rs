//! The `main` of a back end.

use core::error::Error;
use std::env;
use std::io;
use std::panic;
use std::process::ExitCode;
use std::thread;

use clap::Parser;
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

use crate::back_end::BackEnd;
use crate::options::{Options, PRINT_CAPABILITIES};
use crate::report::{finish, report, say};
use crate::sigbus;
use crate::vhost_user_device::VhostUserDevice;

/// Is the `main` of a back end: makes a device as the arguments `A` say, and serves it to one front end after the
/// other, until SIGTERM or SIGINT. When they can connect, a line on the standard output says so.
///
/// What is wrong with the arguments is said in one line, and the exit code is 2 then. SIGUSR1 asks for the
/// [report](VhostUserDevice::report) of the device. Without a signal, it is printed when a front end has gone, and at
/// the end.
///
/// The program follows the "Backend program conventions" of the vhost-user specification: see [`Options`].
pub fn run<A: Parser, D: VhostUserDevice>(
    make: impl FnOnce(A) -> Result<(Options, D), Box<dyn Error + Send + Sync>>,
) -> ExitCode {
    // All other arguments are to be ignored then.
    if env::args_os().skip(1).any(|argument| argument == PRINT_CAPABILITIES) {
        print!("{}", capabilities::<D>());
        return ExitCode::SUCCESS;
    }
    let args = match A::try_parse() {
        Ok(args) => args,
        Err(error) if error.use_stderr() => return wrong_arguments(&error.to_string()),
        Err(help) => {
            print!("{help}");
            return ExitCode::SUCCESS;
        }
    };
    // A thread that panics is not held up by whoever does not read that.
    panic::set_hook(Box::new(|panic| report(format_args!("{panic}"))));
    let prepared = make(args).and_then(|(options, device)| {
        options.check_record()?;
        sigbus::survive()?;
        // In this order: from the moment that there is a file, a signal removes it.
        let signals = Signals::new([SIGTERM, SIGINT, SIGUSR1])?;
        let place = options.place();
        let back_end = BackEnd::new(options, device).map_err(|error| io::Error::other(format!("{place}: {error}")))?;
        Ok((signals, place, back_end))
    });
    let code = match prepared {
        Ok((signals, place, back_end)) => {
            say(format!("serving {place}"));
            serve(signals, &back_end)
        }
        Err(error) => wrong_arguments(&format!("error: {error}")),
    };
    finish();
    code
}

/// Serves one front end after the other, until there is a signal.
fn serve(mut signals: Signals, back_end: &BackEnd<impl VhostUserDevice>) -> ExitCode {
    let signals_end = signals.handle();
    let well = thread::scope(|scope| {
        scope.spawn(move || {
            signals.forever().for_each(|signal| if signal == SIGUSR1 { back_end.report() } else { back_end.stop() });
        });
        let well = back_end.serve_reporting();
        signals_end.close();
        well
    });
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Returns what the specification calls the capabilities of a back end.
fn capabilities<D: VhostUserDevice>() -> String {
    // They are words of the schema, in which nothing has to be escaped.
    format!("{{\n  \"type\": {:?},\n  \"features\": {:?}\n}}\n", D::TYPE, D::CAPABILITIES)
}

/// Says what is wrong, in one line of what clap has to say: what is wrong, and what was probably meant.
fn wrong_arguments(message: &str) -> ExitCode {
    let mut lines = message.lines().map(str::trim);
    let wrong: Vec<_> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
    let tip = lines.find(|line| line.starts_with("tip: ")).map(|tip| format!("; {tip}"));
    report(format_args!("{}{}", wrong.join(" "), tip.unwrap_or_default()));
    finish();
    ExitCode::from(2)
}
