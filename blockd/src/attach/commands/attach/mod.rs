//! `blockd attach`: all or nothing.

mod job;
mod preflight;

use anyhow::{Result, bail};
use tokio::{runtime::Builder, select};

use crate::{
    attach::{
        commands::{
            attach::job::Job,
            detach,
            options::{Options, Report},
            privilege,
            teardown::{self, Manner},
        },
        layers::step_times::Clock,
        state::{attachment_dir::Place, directory, lock::Lock, record::State},
    },
    signals::{EndSignals, HangUp},
};

/// Attaches an export at a mountpoint. When it fails, or a signal ends it,
/// nothing is left of it.
///
/// It blocks, and has a small runtime of its own: call it from a thread that is
/// not a task of another.
pub fn attach(options: &Options) -> Result<Report> {
    let clock = Clock::start();
    privilege::check("attach mounts file systems")?;
    let mountpoint = preflight::mountpoint(&options.mountpoint, &options.state)?;
    let state = directory::open(&options.state)?;
    let place = Place::new(&state, &mountpoint);
    let _lock = Lock::of_place(&place)?;
    let mut state = State::load(&place)?;
    preflight::clear_the_way(&place, &mut state)?;
    let mut job = Job {
        options,
        place,
        state,
        clock,
    };
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(async {
        let mut signals = EndSignals::catch(HangUp::Ends)?;
        select! {
            biased;
            signal = signals.received() => bail!("ended by {signal}"),
            done = job.run() => done,
        }
    });
    runtime.shutdown_background();
    done.map_err(|error| undo_after(error, &job.place, job.state))
}

/// Takes down what was made before `error`.
fn undo_after(error: anyhow::Error, place: &Place, mut state: State) -> anyhow::Error {
    let mut undo = || {
        if let Some(attachment) = state.attachment.take() {
            teardown::take_down(place, &attachment, Manner::Polite)?;
        }
        detach::tidy(place, &mut state, false)?;
        state.save_or_forget(place)
    };
    match undo() {
        Ok(()) => error,
        Err(left) => error.context(format!(
            "attaching failed, and cleaning up too ({left:#}): run `blockd detach {}`",
            place.mountpoint().display()
        )),
    }
}
